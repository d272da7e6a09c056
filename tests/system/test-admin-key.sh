#!/bin/bash
# Trouble with the admin key: missing, open to others, replaced in mid-run, a
# Vault that is sealed, a sops that fails; and a provider that is taken out of
# the configuration, or becomes another. Status says which and what to do, VMs keep what they have,
# and nothing is forgotten.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=52000000-0000-4000-8000-000000000001
two=52000000-0000-4000-8000-000000000002
admin=/run/lab/admin-key

# The sandbox's own file stays what it is.
put_right_key() {
    install -m 0600 $LAB_SANDBOX/admin-key $admin.new && mv $admin.new $admin
}

# usage: configure ADMIN-KEY [SECTION]
configure() {
    cat >$CONFIG.new <<-END
	[daemon]
	$CONFIG_DAEMON

	[provider openai]
	admin-key = $1
	base-url = $LAB_SANDBOX_URL/v1

	${2:-}
	END
    mv $CONFIG.new $CONFIG
    daemon_reload
}

# The second domain is off and has no key: from here on it can want one.
rests() {
    virsh_quiet destroy --domain dev-2 2>/dev/null
    wait_live_keys 0 30 $two
}

# Nobody needs its guest.
wants() {
    virsh_quiet start --domain dev-2 --paused
}

says() {
    wait_status_like dev-2 '.grants[0].reason' "$1" 30
}

one_keeps() {
    guest_has_live_key dev-1 $one && [ "$(key_state dev-1)" = active ]
}

test_file() {
    rm $admin
    wants
    tap_ok "missing: status says where" says "openai is not asked: the admin key cannot be had: file:$admin: there is no file*"
    tap_ok "and what to do" status_like dev-2 '.grants[0].remedy' "file:$admin is read again at every try*"
    tap_ok "so does doctor" doctor_advises "make file:$admin readable for llmhookd"
    put_right_key
    chmod 0644 $admin
    tap_ok "open to others: status says so" says "*file:$admin can be reached by others than its owner (mode 644): chmod 600*"
    tap_ok "the VM that runs keeps its key" one_keeps
    chmod 0600 $admin
    tap_ok "put right: the other gets its key by itself" wait_live_keys 1 90 $two
}

test_revoked() {
    (umask 077 && echo sk-admin-of-somebody-else-0123456789 >$admin.new && mv $admin.new $admin)
    virsh_quiet destroy dev-2
    tap_ok "refused in mid-run: status says so" says "*openai does not accept our admin key: OpenAI does not accept the admin key (401)*"
    tap_ok "and what to do" status_like dev-2 '.grants[0].remedy' "put a valid admin key at file:$admin*"
    tap_ok "the VM that runs keeps its key" one_keeps
    tap_is "$(live_keys $two)" 1 "the other's waits to be revoked"
    put_right_key
    tap_ok "put back: it is revoked, without a restart" wait_live_keys 0 90 $two
}

# The admin key in Vault's key-value store, and a token that may read it.
vault_has_key() {
    (
        umask 077
        printf 'X-Vault-Token: %s\n' "$(cat $LAB_SANDBOX/admin-key)" >$KEYS/vault-root
        lab_sandbox_ctl POST /outside '{"action":"vault-create-token"}' | jq -r .value >$KEYS/vault-token
    )
    jq --null-input --rawfile key $LAB_SANDBOX/admin-key '{data: {key: ($key | rtrimstr("\n"))}}' |
        curl --silent --fail --output /dev/null --header "@$KEYS/vault-root" --data-binary @- \
            "$LAB_SANDBOX_URL/vault/v1/secret/data/llm"
}

vault() {
    lab_sandbox_ctl POST /outside '{"action":"vault-'"$1"'"}' >/dev/null
}

test_vault() {
    rests
    tap_ok "a Vault has the key" vault_has_key
    vault seal
    configure vault:secret/llm#key "[vault]
address = $LAB_SANDBOX_URL/vault
token-file = $KEYS/vault-token"
    wants
    tap_ok "sealed: status says so, and what to do" says "openai is not asked: the admin key cannot be had: vault:secret/llm#key: \
Vault at http://127.0.0.1:* is sealed or under maintenance (503): vault operator unseal*"
    tap_ok "the VM that runs keeps its key" one_keeps
    vault unseal
    tap_ok "unsealed: the other gets its key by itself" wait_live_keys 1 90 $two
}

test_sops() {
    rests
    mkdir -p $KEYS/bin
    echo 'llm: ENC[AES256_GCM]' >$KEYS/keys.yaml
    printf '#!/bin/sh\necho "Failed to get the data key required to decrypt the SOPS file." >&2\nexit 128\n' >$KEYS/bin/sops
    chmod 0755 $KEYS/bin/sops
    configure "sops:$KEYS/keys.yaml#llm.admin"
    wants
    tap_ok "sops fails: status says so, in its words" says "openai is not asked: the admin key cannot be had: \
sops:$KEYS/keys.yaml#llm.admin: $KEYS/bin/sops failed (exit code 128): Failed to get the data key*"
    tap_ok "the VM that runs keeps its key" one_keeps
    # shellcheck disable=SC2016 # it is a script
    printf '#!/bin/sh\n[ "$3" = %s ] && exec cat %s\n' "'[\"llm\"][\"admin\"]'" $LAB_SANDBOX/admin-key >$KEYS/bin/sops
    tap_ok "it works: the other gets its key by itself" wait_live_keys 1 90 $two
}

warning() {
    llmhook status --json | jq -r '.warnings[]' | grep -F "$1" >/dev/null
}

test_removed() {
    configure "file:$admin"
    sed '/^\[provider openai\]/,$d' $CONFIG >$CONFIG.new && mv $CONFIG.new $CONFIG
    tap_ok "its section is taken out" daemon_reload
    tap_ok "the log says what is stranded" logged "[provider openai] of type openai is gone, and 2 live key(s) of it are not"
    tap_ok "status says it for each domain" \
        warning "dev-1: 1 key(s) at openai are alive, and [provider openai] is not in $CONFIG any more"
    tap_ok "doctor says it" fails_with "it is not in the configuration any more, and keys of it are alive" doctor_fails
    tap_ok "the VM that runs keeps its key" one_keeps
    virsh_quiet destroy dev-2
    tap_ok "one that stops: its key is revoked with the last settings" wait_live_keys 0 30 $two
    virsh_quiet start --domain dev-2 --paused
    tap_ok "nothing new is made" wait_status_like dev-2 '.grants[0].reason' "*no provider called openai*" 20
    lab_daemon_stop
    tap_ok "the daemon is started anew, and knows it still" lab_daemon_start
    tap_ok "it says so" warning "dev-1: 1 key(s) at openai are alive"
    tap_ok "audit looks there too" audit_names_it
    remove_domain dev-1
    tap_ok "undefined: the key is revoked" wait_live_keys 0 30 $one
    tap_ok "and its project archived" lab_wait_until 30 project_is $one .live false
    configure "file:$admin"
    tap_ok "the section is back: the other has a key" wait_live_keys 1 60 $two
}

# A driver that says that it has revoked whatever it is asked to.
test_another_type() {
    cat >$CONFIG.new <<-END
	[daemon]
	$CONFIG_DAEMON

	[provider openai]
	type = static
	key = file:$admin
	environment = OPENAI_API_KEY
	END
    mv $CONFIG.new $CONFIG
    tap_ok "its type becomes another" daemon_reload
    tap_ok "the log says that it waits" logged "[provider openai] has become another, of type static: it is not in force"
    tap_ok "status says it" warning "dev-2: 1 key(s) at openai are alive, and [provider openai] is another in $CONFIG"
    tap_ok "doctor says what to do" doctor_advises "give the section another name, or put type = openai back"
    virsh_quiet destroy dev-2
    tap_ok "a VM that stops: its key is revoked where it was made" wait_live_keys 0 30 $two
    virsh_quiet start --domain dev-2 --paused
    tap_ok "started: its project is there yet, so it gets nothing, and status says why" \
        says "*was another*not in force yet"
    lab_daemon_stop
    tap_ok "the daemon is started anew, and knows it still" lab_daemon_start
    tap_ok "with the driver of before" provider_is openai
    remove_domain dev-2
    tap_ok "undefined: its project is archived" lab_wait_until 30 project_is $two .live false
    tap_ok "nothing is left: the new section is in force" lab_wait_until 90 provider_is static
}

provider_is() {
    [ "$(llmhook status --json | jq -r '.providers[] | select(.name == "openai").type')" = "$1" ]
}

audit_names_it() {
    llmhook audit --json | jq -e '.complete and any(.rows[]; .provider == "openai")' >/dev/null
}

# A warning is no failure for doctor's exit code.
doctor_fails() {
    llmhook doctor
    return 1
}

install -d -m 0700 $KEYS
export PATH=$KEYS/bin:$PATH
CONFIG_POLICY=
system_start
put_right_key
configure "file:$admin"
lab_domain_xml dev-1 --uuid $one --metadata "$(key_metadata)" | lab_define
lab_domain_xml dev-2 --uuid $two --metadata "$(key_metadata)" | lab_define
virsh_quiet start dev-1
tap_ok "a VM has its key" wait_proven dev-1 60
test_file
test_revoked
test_vault
test_sops
test_removed
test_another_type
tap_ok "in the end nothing is alive" wait_live_keys 0 30
tap_ok "and all is in order" audit_is_clean
tap_done
