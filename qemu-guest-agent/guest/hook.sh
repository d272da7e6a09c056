# llmhook 2: gives new shells the keys this machine was lent; `llmhook guest clean` takes these lines out.
# shellcheck shell=sh disable=SC1091
[ ! -r /run/llmhook/profile.sh ] || . /run/llmhook/profile.sh
# llmhook end
