#!/bin/bash
# The domain-xml target over XML that libvirt itself has written: domains with metadata of all sorts, defined in libvirt's
# test driver (which needs no daemon), and what examples there are on this machine.
set -u
target=${LLMHOOK_BUILD:-.}/tests/fuzz/fuzz-domain-xml
work=$(mktemp -d "${TMPDIR:-/tmp}/x.XXXXXX") || exit
trap 'rm -rf "$work"' EXIT

# One a line. libvirt takes anything in a namespace, writes it anew, and gives it to hooks like that.
metadata() {
    cat <<'END'
<l:vm xmlns:l="urn:llmhook:vm:1" owner='alice' required="yes" readers="group:dev"><l:key provider="openai" monthly-limit="100"/></l:vm>
<vm xmlns='urn:llmhook:vm:1' required='on'><key provider='openai' rotate='30d'/><key provider="other" environment="A_KEY"/></vm>
<l:vm xmlns:l="urn:llmhook:vm:1" required="no"/>
<l:vm xmlns:l="urn:llmhook:vm:1" required="&#121;es"/>
<l:vm xmlns:l='urn:llmhook:vm:1'><!-- required="yes" --><l:key provider='openai'/><![CDATA[ ]]></l:vm>
<l:vm xmlns:l="urn:llmhook:vm:2" required="yes"/>
<x:a xmlns:x="urn:other"><l:vm xmlns:l="urn:llmhook:vm:1" required="yes"/></x:a>
<x:a xmlns:x="urn:other" b="&lt;llmhook:vm required='yes'/&gt;">&lt;uuid&gt;<![CDATA[<l:vm required="yes">]]></x:a><l:vm xmlns:l="urn:llmhook:vm:1" owner="a&amp;b"/>
<l:vm xmlns:l="urn:llmhook:vm:1" xmlns:x="urn:x" x:required="yes" monthly-limit="12.50 USD"/>
<l:vm xmlns:l="urn:llmhook:vm:1" required="yes"><l:key provider="openai"><other xmlns="urn:o"/></l:key></l:vm>
<x:a xmlns:x="urn:llmhook:vm:1:not"/><l:vm xmlns:l="urn:llmhook:vm:1" required="true" rotate="never"/>
END
}

number=0
while read -r line; do
    number=$((number + 1))
    cat >"$work/defined-$number" <<END
<domain type='test'><name>dev-$number &amp; ä</name><uuid>6F0C6A5E-0D5B-4A55-9D5F-$(printf %012d $number)</uuid>
<title>&lt;uuid&gt;</title><description>a ]]&gt; "b" &#13; c</description><metadata>$line</metadata>
<memory>8192</memory><os><type>hvm</type></os></domain>
END
    printf 'define %s\necho --- %s\ndumpxml 6f0c6a5e-0d5b-4a55-9d5f-%012d\n' "$work/defined-$number" $number $number
done < <(metadata) >"$work/commands"
echo 1..3
if command -v virsh >/dev/null; then
    HOME=$work XDG_CACHE_HOME=$work virsh -q -c test:///default <"$work/commands" >"$work/said" 2>"$work/errors"
    awk -v work="$work" '/^--- / { file = work "/written-" $2; next } file { print > file } /^<\/domain>/ { file = "" }' "$work/said"
    written=$(grep -lE "^ *<uuid>6f0c6a5e-" "$work"/written-* 2>/dev/null | wc -l)
    if [ "$written" = "$number" ]; then
        echo "ok 1 - libvirt wrote $written domains"
    else
        echo "not ok 1 - libvirt wrote $written domains, not $number"
        sed 's/^/# /' "$work/errors"
    fi
else
    echo "# there is no virsh, so there is nothing that libvirt wrote"
    : >"$work/written-0"
    echo "ok 1 - without virsh"
fi

# usage: run NUMBER NAME FILE...: the target over the files
run() {
    if "$target" "${@:3}" >"$work/log" 2>&1; then
        echo "ok $1 - $2: $(($# - 2)) files"
    else
        echo "not ok $1 - $2"
        sed 's/^/# /' "$work/log"
    fi
}
run 2 "what libvirt wrote" "$work"/written-*
mapfile -t examples < <(find /usr/share/doc/libvirt* /usr/share/libvirt /etc/libvirt/qemu -name '*.xml' \
    -exec grep -lE '<domain[ >]' {} + 2>/dev/null | head -1000)
[ ${#examples[@]} -gt 0 ] || echo "# there are no examples of libvirt's on this machine"
run 3 "libvirt's examples" "$work"/written-* ${examples[@]+"${examples[@]}"}
