# The same as in ../main.tf for the libvirt provider before 0.9, which knows no metadata: there a stylesheet puts it into
# the XML (xsltproc must be installed where Terraform runs). Changing it makes Terraform define the domain anew.

terraform {
  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "< 0.9"
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
  }
}

resource "libvirt_domain" "vm" {
  for_each = var.vms

  name   = each.key
  memory = 2048
  vcpu   = 2

  # The provider adds the guest agent's channel by itself. This lets it wait for the agent, too.
  qemu_agent = true

  xml {
    xslt = templatefile("${path.module}/llmhook.xsl.tftpl", each.value)
  }
}
