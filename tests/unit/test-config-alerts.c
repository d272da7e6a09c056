/* [alerts] in the configuration file: what it may say, and the exact text where it may not. */
#include "config-fixture.h"

static void all_of_it_is_read(void **state)
{
    (void)state;
    static const char text[] = "[alerts]\nthresholds = 90 25\nwebhook = https://hooks.example.com/a?b=c\n"
                               "webhook-secret = file:/etc/key\nca-file = /etc/ca.pem\nprogram = /usr/local/bin/tell\n"
                               "mail = ops+llm@example.com\nsendmail = /opt/sendmail\n";
    cleanup_config struct config *config = parse(text);
    const struct config_alerts *alerts = &config->alerts;
    assert_int_equal(alerts->thresholds_count, 2);
    assert_int_equal(alerts->thresholds[0], 90);
    assert_int_equal(alerts->thresholds[1], 25);
    assert_string_equal(alerts->webhook, "https://hooks.example.com/a?b=c");
    assert_string_equal(alerts->webhook_secret, "file:/etc/key");
    assert_string_equal(alerts->ca_file, "/etc/ca.pem");
    assert_string_equal(alerts->program, "/usr/local/bin/tell");
    assert_string_equal(alerts->mail, "ops+llm@example.com");
    assert_string_equal(alerts->sendmail, "/opt/sendmail");
}

static void without_it_only_the_journal_is_told(void **state)
{
    (void)state;
    cleanup_config struct config *config = parse("");
    assert_int_equal(config->alerts.thresholds_count, 3);
    assert_int_equal(config->alerts.thresholds[2], 100);
    assert_string_equal(config->alerts.webhook, "");
    assert_string_equal(config->alerts.program, "");
    assert_string_equal(config->alerts.mail, "");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct refused bad[] = {
        {"[alerts]\nthresholds = 50 0\n", "f.conf:2: thresholds: '0' is not a number from 1 to 1000"},
        {"[alerts]\nthresholds = 1 2 3 4 5 6 7 8 9\n", "f.conf:2: thresholds: there are more than 8: remove some"},
        {"[alerts]\nwebhook = https://me@hooks.example.com/\n",
         "f.conf:2: webhook: a webhook has no '#', '@' or space: write it like https://hooks.example.com/alerts"},
        {"[alerts]\nwebhook = http://hooks.example.com/\n", "f.conf:2: webhook: ..."},
        {"[alerts]\nwebhook = https://hooks.example.com/\nwebhook-secret = hush\n", "f.conf:3: webhook-secret: ..."},
        {"[alerts]\nwebhook-secret = file:/etc/key\n",
         "f.conf:2: webhook-secret: it does nothing without a webhook: write webhook = URL"},
        {"[alerts]\nwebhook = https://hooks.example.com/\nwebhook-secret = vault:kv/hooks#key\n",
         "f.conf:3: webhook-secret: it is in Vault, and which one is not said: write a [vault] section"},
        {"[alerts]\nca-file = /etc/ca.pem\n", "f.conf:2: ca-file: it does nothing without a webhook: write webhook = URL"},
        {"[alerts]\nprogram = tell\n", "f.conf:2: program: 'tell' is not an absolute path: write one that begins with /"},
        {"[alerts]\nmail = -oQ/tmp@x\n", "f.conf:2: mail: '-oQ/tmp@x' is not a mail address: write one like ops@example.com"},
        {"[alerts]\nmail = ops\n", "f.conf:2: mail: 'ops' is not a mail address: write one like ops@example.com"},
        {"[alerts]\nsendmail = /opt/sendmail\n",
         "f.conf:2: sendmail: it does nothing without an address: write mail = ADDRESS"},
        {"[alerts]\nslack = yes\n", "f.conf:2: an alerts section has no key 'slack': write thresholds, webhook..."},
        {"[alerts x]\n", "f.conf:1: there is no section [alerts x]: write ..."},
    };
    check_all_refused(bad, COUNT(bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_read),
        cmocka_unit_test(without_it_only_the_journal_is_told),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return check_run(tests);
}
