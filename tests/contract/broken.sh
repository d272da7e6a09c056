#!/bin/sh
# Makes broken requests and answers pass through Prism; run by run-sandbox-contract.sh inside with-prism.sh.
# Every one names its own project in its path, by which Prism's complaint is found again.
set -u

# ask METHOD PATH [BODY] [HEADER]
ask() {
    {
        if [ $# -gt 3 ]; then
            echo "$4"
        else
            printf 'Authorization: Bearer %s\n' "$(cat "$LLMHOOK_SANDBOX_ADMIN_KEY_FILE")"
        fi
    } | curl -sS --noproxy '*' -X "$1" -H @- -H 'Content-Type: application/json' ${3:+-d "$3"} \
        "$LLMHOOK_SANDBOX_URL$2" -o /dev/null
}

# answer STATUS BODY: what the sandbox says to the next request
answer() {
    printf '{"match":"*","mode":"status","status":%s,"body":"%s"}' "$1" "$(printf '%s' "$2" | sed 's/"/\\"/g')" |
        curl -sS --noproxy '*' --unix-socket "$LLMHOOK_SANDBOX_CONTROL" http://sandbox/faults -d @- -o /dev/null
}

projects=/v1/organization/projects
answer 200 '{"id":"proj_cut","object":"organization.pro'
ask GET $projects/proj_cut
answer 200 '{"id":"proj_lacking","object":"organization.project"}'
ask GET $projects/proj_lacking
answer 200 '{"id":"proj_type","object":"organization.project","created_at":"today"}'
ask GET $projects/proj_type
answer 201 '{"id":"proj_status","object":"organization.project","created_at":1}'
ask GET $projects/proj_status
answer 500 '{"oops":"no error object"}'
ask GET $projects/proj_shape
ask POST $projects/proj_body '{"name":7}'
ask GET $projects/proj_path/nothing
ask GET $projects/proj_key '' 'X-Nothing: 1'
