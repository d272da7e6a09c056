#!/bin/bash
# Defines and starts the tiny guest, from within the lab.
# usage: guest.sh NAME UUID
set -eu
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_domain_xml "$1" --uuid "$2" | lab_define
virsh --quiet start --domain "$1"
lab_wait_agent "$1" 60
