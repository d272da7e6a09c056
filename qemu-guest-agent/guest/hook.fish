# llmhook 2: gives new shells the keys this machine was lent.
# The same as profile.sh does for other shells.
set -l _llmhook /run/llmhook
test -r $_llmhook/env; or set _llmhook $_llmhook/users/(id -u)
if test -r $_llmhook/env; and read -l _llmhook_now </run/llmhook/generation
    while read -l _llmhook_line
        set -l _llmhook_pair (string split -m 1 = -- $_llmhook_line)
        set -l _llmhook_name $_llmhook_pair[1]
        if set -q $_llmhook_name
            and not string match -q "/run/llmhook/*" -- $$_llmhook_name
            and begin
                not set -q LLMHOOK_GENERATION
                or test "$LLMHOOK_GENERATION" = "$_llmhook_now"
            end
            continue
        end
        set -gx $_llmhook_name (string sub -s 2 -- $_llmhook_pair[2] | string replace -r ".\$" "")
    end <$_llmhook/env
    set -gx LLMHOOK_GENERATION $_llmhook_now
end
