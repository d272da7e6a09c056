# What is not as it should be in a world that has come to rest: a line for each. Nothing: all is well.
#
# $sandbox  all that the provider ever had (GET /state), as an array of one
# $status   what `llmhook status --json` says, as an array of one
# $want     [{name, uuid, state, hash}]: what libvirt has; hash: the key that the same boot had before, or ""
# $known    the names of all keys in the ledger
# $minted   the names of those whose secret the ledger ever had
# $strict   whether doubts, which take half a minute, must be settled too

def ends: .deleted_ms // infinite;

# Every service account that was ever made in our name.
[$sandbox[0].projects[] | . as $project | .service_accounts[] | . as $account |
    select(.name | startswith("llmhook:")) |
    {name, uuid: (.name | split(":")[2]), made: .created_ms, live: (.deleted_ms == null and $project.archived_ms == null),
     end: ([ends, ($project.archived_ms // infinite)] | min),
     hash: ([$project.keys[] | select(.service_account_id == $account.id) | .sha256] | first // "")}] as $accounts |

def keys_of($vm): [$accounts[] | select(.uuid == $vm.uuid and .live)];
def told($vm): [$status[0].domains[] | select(.uuid == $vm.uuid)] | first // {};
def states($vm): [told($vm).grants[]?.keys[]? | select(.state != "revoking" or $strict) | .state] | join(",");
def running($vm): ["running", "in shutdown"] | index($vm.state) != null;
def doubted($uuid): ($strict | not) and any($status[0].domains[] | select(.uuid == $uuid) | .grants[].keys[]; .state == "revoking");

# One key for who runs, none for who does not; who sleeps keeps what it had.
($want[] | . as $vm | keys_of(.) as $keys |
    if running($vm) then
        (if ($keys | length) != 1 then "\(.name) runs and has \($keys | length) live keys" else empty end),
        (if states($vm) != "active" or told($vm).delivery != "proven" then
            "\(.name) runs, and the daemon says \(states($vm)), \(told($vm).delivery): \(told($vm).delivery_reason // "")" else empty end)
    elif $vm.state == "saved" or $vm.state == "paused" then
        (if ($keys | length) > 1 then "\(.name) is \($vm.state) and has \($keys | length) live keys" else empty end),
        (if $vm.hash != "" and ($keys | length) == 0 then "VIOLATION \(.name) is \($vm.state), and its key was revoked" else empty end)
    elif ($keys | length) > 0 then "\(.name) is \($vm.state) and has \($keys | length) live keys"
    else empty end),

# A boot has one key from its beginning to its end, whatever else happens.
($want[] | . as $vm | select($vm.hash != "" and (running($vm) or $vm.state == "saved")) | keys_of(.)[] |
    select(.hash != $vm.hash) | "VIOLATION \($vm.name) had another key before, and its boot has not ended (\(.name))"),

# Nothing of who is not defined any more, once it is certain what there was.
($accounts[] | select(.live) | . as $key | select(any($want[]; .uuid == $key.uuid) | not) |
    "\(.name) is alive, and its domain is gone"),
($sandbox[0].projects[] | select(.live and (.name | startswith("llmhook:"))) | . as $project |
    select(any($want[]; . as $vm | $project.name | contains($vm.uuid)) | not) | select(doubted(.name | split(":")[2]) | not) |
    "the project \(.name) is open, and its domain is gone"),
($status[0].domains[] | . as $told | select(any($want[]; .uuid == $told.uuid) | not) |
    select(doubted(.uuid) | not) | "the daemon knows \(.name) (\(.uuid)), which is gone"),

# What was asked for was written down before; no name was used twice.
(($accounts | map(.name)) - $known | .[] | "VIOLATION \(.) was made, and the ledger knows nothing of it"),
($accounts | group_by(.name)[] | select(length > 1) | "VIOLATION \(.[0].name) was made \(length) times"),

# Strictly one key at a time. One that may have been made, and whose secret never came, does not count.
($accounts | map(select(.name as $name | $minted | index($name) != null)) | group_by(.uuid)[] | sort_by(.made) |
    [.[:-1], .[1:]] | transpose[] | select(.[0].end > .[1].made) |
    "VIOLATION \(.[0].name) was alive when \(.[1].name) was made"),

# Doubts end too.
(if $strict then $status[0].domains[] | . as $told | .grants[].keys[] | select(.state != "active" and .state != "minted") |
    "\($told.name): generation \(.generation) is \(.state) still" else empty end)
