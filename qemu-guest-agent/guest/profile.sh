# What shells read to have the keys: bash, zsh, dash and others of their kind, by a line in a start-up file that a
# delivery puts there. It is a file of the set itself (/run/llmhook/profile.sh).
# shellcheck shell=sh disable=SC3028
#
# What somebody has set by hand stays: a variable is given another value only if that came from an earlier set, which
# LLMHOOK_GENERATION tells, or if it is the path of a copy, which may be that of another account.
_llmhook=/run/llmhook/env
[ -r "$_llmhook" ] || [ ! -d /run/llmhook/users ] ||
    _llmhook=/run/llmhook/users/${UID:-$(id -u)}/env
if [ -r "$_llmhook" ] && read -r _llmhook_now </run/llmhook/generation; then
    while IFS= read -r _llmhook_line; do
        _llmhook_name=${_llmhook_line%%=*}
        # The file is its reader's, who may have written into it. What is no name would be run below.
        case $_llmhook_name in
        "" | [!A-Za-z_]* | *[!A-Za-z0-9_]*) continue ;;
        esac
        eval "_llmhook_value=\${$_llmhook_name-}"
        case $_llmhook_value in
        "" | /run/llmhook/*) ;;
        *) [ "${LLMHOOK_GENERATION-$_llmhook_now}" != "$_llmhook_now" ] || continue ;;
        esac
        _llmhook_value=${_llmhook_line#*=?}
        export "$_llmhook_name=${_llmhook_value%?}"
    done <"$_llmhook" || :
    export "LLMHOOK_GENERATION=$_llmhook_now"
fi 2>/dev/null
unset _llmhook _llmhook_line _llmhook_name _llmhook_now _llmhook_value
