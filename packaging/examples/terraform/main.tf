# Virtual machines with LLM API keys of their own, each with its own limits, for the libvirt provider from 0.9.1 on.
# What a VM is to have stands in its own definition; llmhook reads it from the domain's XML. No key is ever in here,
# nor in Terraform's state: keys are made when a VM starts, and end with it.

terraform {
  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = ">= 0.9.1"
    }
  }
}

provider "libvirt" {
  uri = "qemu:///system"
}

variable "vms" {
  description = "Each VM by its name: whose it is, US dollars a month for each provider (named as in [provider NAME] on the host), whether it must not start without its keys."
  type = map(object({
    owner    = string
    limits   = map(number)
    required = optional(bool, false)
  }))
  default = {
    agent-1 = { owner = "alice", limits = { openai = 25, anthropic = 50 } }
    agent-2 = { owner = "bob", limits = { openai = 10 }, required = true }
    # Nothing is asked for, so nothing is given, whatever policy the host has.
    build-1 = { owner = "alice", limits = {} }
  }
  validation {
    # What llmhook takes for an owner; what it does not take would leave the VM without keys, with the reason in
    # `llmhook status`.
    condition     = alltrue([for vm in var.vms : can(regex("^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$", vm.owner))])
    error_message = "An owner is of letters, digits and . _ @ + -, at most 64 of them."
  }
}

resource "libvirt_domain" "vm" {
  for_each = var.vms

  name        = each.key
  type        = "kvm"
  memory      = 2048
  memory_unit = "MiB"
  vcpu        = 2

  # No default: without it a VM is defined and not started, and one that runs is off after the next update.
  running = true

  os = {
    type      = "hvm"
    type_arch = "x86_64"
  }

  # What llmhook reads.
  metadata = {
    xml = templatefile("${path.module}/llmhook.xml.tftpl", each.value)
  }

  devices = {
    # The way into the guest: without it no key can be delivered.
    channels = [{
      source = { unix = {} }
      target = { virt_io = { name = "org.qemu.guest_agent.0" } }
    }]

    # Disks and interfaces as usual.
  }
}
