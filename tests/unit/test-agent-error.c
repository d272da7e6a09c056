/* libvirt's errors of agent commands, in the languages of its catalogs (libvirt-l10n 9.0.0 and 11.3.0). */
#include "check.h"

#include "base/json.h"
#include "host/agent_error.h"

#include <libvirt/virterror.h>
#include <string.h>

enum { COMMAND_TIMEOUT = 112, COMMAND_FAILED = 113 }; /* libvirt 11.3.0's virterror.h */

#define EXEC "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"/bin/sh\",\"input-data\":\"eDogeQ==\"}}"
#define DISABLED "Command guest-exec has been disabled: the command is not allowed"

static void what_the_agent_said_is_found_in_any_language(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *message;
    } rows[] = {
        {VIR_ERR_INTERNAL_ERROR, "internal error: unable to execute QEMU agent command 'guest-exec': " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "Interner Fehler: Agent QEMU-befehl 'guest-exec' kann nicht ausgeführt werden: " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "vnitřní chyba: nedaří se vykonat příkaz QEMU agenta „guest-exec“: " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "error interno: No se puede ejecutar comando de agente QEMU 'guest-exec': " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "内部エラー: QEMU エージェントコマンド 'guest-exec' を実行できません: " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "не удалось выполнить команду агента QEMU «guest-exec»: " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "QEMU 에이전트 명령 'guest-exec'을 실행할 수 없음: " DISABLED},
        {VIR_ERR_INTERNAL_ERROR, "内部错误：无法执行 QEMU 代理命令 'guest-exec'：" DISABLED},
        {COMMAND_FAILED, "guest agent command failed: unable to execute QEMU agent command 'guest-exec': " DISABLED},
        {COMMAND_FAILED, "Impossible d'exécuter la commande 'guest-exec' de l'agent QEMU : " DISABLED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cleanup_buffer struct buffer reply = BUFFER_INIT(1024);
        cleanup_json struct json_object *document = NULL;
        struct json_object *error;
        struct error err = ERROR_INIT;
        char text[256] = "";
        bool own = agent_error_read(rows[i].code, VIR_FROM_QEMU, rows[i].message, EXEC, &reply, &err);
        if (!own)
            fail_msg("'%s' is not taken for the agent's own: %s", rows[i].message, err.text);
        assert_true(json_parse(buffer_text(&reply), reply.length, &document, NULL));
        assert_true(json_get_object(document, "error", &error, NULL));
        json_optional_string(error, "desc", "", text, sizeof text);
        assert_string_equal(text, DISABLED);
    }
}

static void what_a_later_libvirt_words_anew_is_still_the_agents(void **state)
{
    (void)state;
    cleanup_buffer struct buffer reply = BUFFER_INIT(1024);
    assert_true(agent_error_read(COMMAND_FAILED, VIR_FROM_QEMU, "it said: no", EXEC, &reply, NULL));
    assert_string_equal(buffer_text(&reply), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"it said: no\"}}");
}

static void what_libvirt_says_itself_is_known_by_its_code(void **state)
{
    (void)state;
    static const struct {
        int code, domain;
        const char *message;
        enum error_code wanted;
        const char *piece;
    } rows[] = {
        {VIR_ERR_AGENT_UNRESPONSIVE, VIR_FROM_QEMU, "Agent v hostovi neodpovídá: QEMU agent v hostovi není připojen",
         ERROR_NOT_FOUND, "the guest agent is not connected"},
        {VIR_ERR_AGENT_UNRESPONSIVE, VIR_FROM_QEMU, "Gast-Agent antwortet nicht: Gast-Agent derzeit nicht verfügbar",
         ERROR_NOT_FOUND, "or does not answer"},
        {VIR_ERR_AGENT_UNRESPONSIVE, VIR_FROM_QEMU, "Guest agent is not responding: QEMU guest agent is not connected",
         ERROR_NOT_FOUND, "the guest agent is not connected"},
        {VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_FROM_QEMU, "QEMU Gast-Agent ist nicht konfiguriert", ERROR_NOT_FOUND, "no channel"},
        {VIR_ERR_OPERATION_TIMEOUT, VIR_FROM_QEMU, "Zeitüberschreitung", ERROR_BUSY, "another command"},
        {VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, "Domain läuft nicht", ERROR_LOST, "the domain does not run"},
        {COMMAND_TIMEOUT, VIR_FROM_QEMU, "ゲスト", ERROR_TIMEOUT, "did not answer guest-exec in time"},
        {VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU, "Interner Fehler: Fehlendes Monitor Antwort Objekt", ERROR_LOST,
         "Fehlendes Monitor Antwort Objekt"},
        /* It has a name and a colon, and is the connection's end, not the agent's word. */
        {VIR_ERR_INTERNAL_ERROR, VIR_FROM_RPC, "internal error: guest-exec: connection closed due to keepalive timeout",
         ERROR_LOST, "keepalive timeout"},
        {VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, "Domain not found: guest-exec: x", ERROR_LOST, "Domain not found"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cleanup_buffer struct buffer reply = BUFFER_INIT(1024);
        struct error err = ERROR_INIT;
        assert_false(agent_error_read(rows[i].code, rows[i].domain, rows[i].message, EXEC, &reply, &err));
        check_error(err, rows[i].wanted, rows[i].piece);
        assert_int_equal(reply.length, 0);
    }
}

static void an_error_that_does_not_fit_is_no_reply(void **state)
{
    (void)state;
    cleanup_buffer struct buffer reply = BUFFER_INIT(40);
    struct error err = ERROR_INIT;
    assert_false(agent_error_read(VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU,
                                  "unable to execute QEMU agent command 'guest-exec': " DISABLED, EXEC, &reply, &err));
    check_error(err, ERROR_LIMIT, "larger than 40 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_agent_said_is_found_in_any_language),
        cmocka_unit_test(what_a_later_libvirt_words_anew_is_still_the_agents),
        cmocka_unit_test(what_libvirt_says_itself_is_known_by_its_code),
        cmocka_unit_test(an_error_that_does_not_fit_is_no_reply),
    };
    return check_run(tests);
}
