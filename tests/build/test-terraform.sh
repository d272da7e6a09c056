#!/bin/bash
# The Terraform examples: what comes of their templates is put into a domain, defined in libvirt's test driver, written
# by libvirt, and read by llmhook's own parser. With Terraform on this machine it renders the templates, too, and must
# make the same of them; Debian has no package of it. The libvirt provider is not run.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
examples=$LLMHOOK_SOURCE/packaging/examples/terraform
policy=$LLMHOOK_BUILD/tests/unit/domain-policy
for tool in virsh xsltproc python3; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done

# Terraform's template language as far as the examples use it.
# usage: render TEMPLATE OWNER REQUIRED [PROVIDER=LIMIT]...
render() {
    python3 - "$@" <<'PYTHON'
import re, sys
text, owner, required = open(sys.argv[1]).read(), sys.argv[2], sys.argv[3]
limits = sorted(word.split("=") for word in sys.argv[4:])
loop = re.compile(r"%\{ for provider, limit in limits ~\}(.*?)%\{ endfor ~\}", re.S)
text = loop.sub(lambda match: "".join(
    match[1].replace("${provider}", provider).replace("${limit}", limit) for provider, limit in limits), text)
text = text.replace('${required ? "yes" : "no"}', "yes" if required == "true" else "no").replace("${owner}", owner)
assert "${" not in text and "%{" not in text, "the template has something else in it"
sys.stdout.write(text)
PYTHON
}
# White space between elements is nobody's.
flat() { tr '\n' ' ' | sed -e 's/> */>/g' -e 's/ *$//'; }

# As the provider writes it.
# usage: domain NAME METADATA
domain() {
    cat <<END
<domain type='test'><name>$1</name><uuid>6f0c6a5e-0d5b-4a55-9d5f-00000000000${1#agent-}</uuid><metadata>$2</metadata>
<memory unit='MiB'>8</memory><os><type>hvm</type></os>
<devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>
END
}
# What libvirt makes of the domain on standard input, as llmhook reads it.
# usage: read_back NAME
read_back() {
    cat >"$work/given.xml"
    HOME=$work XDG_CACHE_HOME=$work virsh -q -c test:///default "define $work/given.xml; dumpxml $1" |
        sed -n '/^<domain/,$p' | "$policy"
}
# usage: is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got:    $2
wanted: $3"; fi
}

new=$examples/llmhook.xml.tftpl old=$examples/older/llmhook.xsl.tftpl
other='<app:a xmlns:app="urn:other" b="c"/>'

is "0.9: two providers, each with its limit" \
    "$(domain agent-1 "$(render "$new" alice false openai=25 anthropic=50)" | read_back agent-1)" \
    "name=agent-1 channel=yes metadata=yes owner=alice required=no anthropic=50000000 openai=25000000"
is "0.9: a VM that must not start without its key" \
    "$(domain agent-2 "$(render "$new" bob true openai=12.5)" | read_back agent-2)" \
    "name=agent-2 channel=yes metadata=yes owner=bob required=yes openai=12500000"
is "0.9: nothing is asked for: an element without keys" \
    "$(domain agent-3 "$(render "$new" alice false)" | read_back agent-3)" \
    "name=agent-3 channel=yes metadata=yes owner=alice required=no"
is "0.9: an owner that is none is told" \
    "$(domain agent-4 "$(render "$new" "a b" false openai=1)" | read_back agent-4 | cut -d: -f1-3 | sed "s,: write.*,,")" \
    "name=agent-4 channel=yes metadata=yes error=llmhook:vm, attribute owner: 'a b' cannot be used"

render "$old" carol true openai=7 >"$work/old.xsl"
for metadata in '' "$other" "$(render "$new" alice false anthropic=1)"; do
    domain agent-5 "$metadata" >"$work/before.xml"
    is "before 0.9: the stylesheet, over metadata of ${#metadata} bytes" \
        "$(xsltproc --nonet "$work/old.xsl" "$work/before.xml" | read_back agent-5)" \
        "name=agent-5 channel=yes metadata=yes owner=carol required=yes openai=7000000"
done
domain agent-5 "$other" | xsltproc --nonet "$work/old.xsl" - >"$work/after.xml"
check "somebody else's metadata stays" grep -qF '<app:a xmlns:app="urn:other" b="c"/>' "$work/after.xml"

if command -v terraform >/dev/null; then
    export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 HOME=$work TF_CLI_CONFIG_FILE=/dev/null
    for template in "$new" "$old"; do
        mkdir -p "$work/tf" && cp "$template" "$work/tf/template"
        (cd "$work/tf" && echo 'base64encode(templatefile("template", {owner="al",required=true,limits={openai=2,anthropic=1.5}}))' |
            terraform console 2>"$work/errors" | tr -d '"' | base64 -d | flat) >"$work/rendered"
        is "Terraform makes the same of ${template##*/}" "$(cat "$work/rendered")" \
            "$(render "$template" al true openai=2 anthropic=1.5 | flat)"
    done
    silent "terraform fmt would change nothing" terraform fmt -check -diff -recursive "$examples"
else
    skip "Terraform makes the same of the templates" "terraform is not installed"
fi
finish
