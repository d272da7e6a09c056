# llmhook 1: gives new login shells the keys this machine was lent.
# shellcheck shell=sh disable=SC3028
_llmhook=/run/llmhook/env
[ -r "$_llmhook" ] || [ ! -d /run/llmhook/users ] ||
    _llmhook=/run/llmhook/users/${UID:-$(id -u)}/env
if [ -r "$_llmhook" ]; then
    while IFS= read -r _llmhook_line; do
        _llmhook_value=${_llmhook_line#*=?}
        export "${_llmhook_line%%=*}=${_llmhook_value%?}"
    done <"$_llmhook" || :
fi 2>/dev/null
unset _llmhook _llmhook_line _llmhook_value
