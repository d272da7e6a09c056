#!/bin/sh
# Prints what cloud-init is to do in an ordinary guest: `llmhook guest cloud-config`. It brings the files beside into the
# guest and switches the agent on. Keys are never in it: user-data stays attached to the guest, and is read once.
#
# usage: cloud-config.sh FOLDER
set -eu
cd "$1"

# PATH MODE [FILE]: its content, or standard input's
write_file() {
    printf '  - path: %s\n    permissions: "%s"\n    content: |\n' "$1" "$2"
    sed -e 's/./      &/' ${3:+"$3"}
}

cat <<'HEAD'
#cloud-config
# Sets a guest up for the LLM API keys that llmhook on its host gives it. There is no key in here.
packages:
  - qemu-guest-agent
write_files:
HEAD
write_file /etc/profile.d/llmhook.sh 0644 hook.sh
write_file /etc/llmhook/units 0644 systemd/units
write_file /etc/systemd/system/llmhook-units.path 0644 systemd/llmhook-units.path
write_file /etc/systemd/system/llmhook-units.service 0644 systemd/llmhook-units.service
for name in units deliver probe withdraw clean; do
    sh ./embed.sh . $name | write_file /usr/local/lib/llmhook/$name.sh 0644
done
write_file /usr/local/lib/llmhook/box.sh 0644 box.sh
write_file /etc/tmpfiles.d/llmhook-box.conf 0644 systemd/llmhook-box.conf
write_file /etc/systemd/system/llmhook-box.path 0644 systemd/llmhook-box.path
write_file /etc/systemd/system/llmhook-box.service 0644 systemd/llmhook-box.service
cat <<'TAIL'
runcmd:
  - [systemctl, daemon-reload]
  - [systemd-tmpfiles, --create, /etc/tmpfiles.d/llmhook-box.conf]
  - [systemctl, enable, --now, llmhook-units.path, llmhook-box.path]
  # Where udev starts the agent there is nothing to enable.
  - [sh, -c, "systemctl enable qemu-guest-agent.service; systemctl start qemu-guest-agent.service"]
TAIL
