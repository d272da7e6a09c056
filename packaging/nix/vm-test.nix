# `nix flake check`: a host with the daemon, the hook and libvirtd, and a guest that is handed keys by the delivery's
# own script. It needs a Nix that can build, and has not been run by its authors.
{ pkgs, ... }:

let
  deliver = pkgs.runCommand "deliver.sh" { } "sh ${../../qemu-guest-agent/guest}/embed.sh ${../../qemu-guest-agent/guest} deliver >$out";
  give = key: ''printf "verb=deliver readers=humans label=1\nset -- OPENAI_API_KEY '${key}'\ncomplete=yes\n" | env -i sh ${deliver}'';
in
{
  name = "llmhook";

  nodes.host = {
    imports = [ ./host.nix ];
    virtualisation.libvirtd.enable = true;
    services.llmhook = {
      enable = true;
      policies = [ { pattern = "none-*"; } ];
    };
  };

  nodes.guest = { pkgs, ... }: {
    imports = [ ../../qemu-guest-agent/guest/nixos ];
    programs.zsh.enable = true;
    programs.fish.enable = true;
    users.users.alice.isNormalUser = true;
    services.llmhook.guest = {
      enable = true;
      services = [ "reader" ];
    };
    systemd.services.reader = {
      wantedBy = [ "multi-user.target" ];
      script = ''echo "$OPENAI_API_KEY" >/run/seen; exec sleep infinity'';
    };
  };

  testScript = ''
    start_all()
    host.wait_for_unit("llmhookd.service")
    host.wait_for_unit("libvirtd.service")
    host.succeed("test -x /var/lib/libvirt/hooks/qemu.d/50-llmhook")
    host.succeed("llmhook status")
    host.succeed("systemctl show llmhookd -p NoNewPrivileges | grep -qx NoNewPrivileges=yes")
    host.succeed("systemctl reload llmhookd")

    guest.wait_for_unit("multi-user.target")
    guest.succeed("""${give "first"}""")
    for shell in ["bash", "zsh", "fish"]:
        guest.succeed(f"su - alice -c \"{shell} -lc 'test \\\"$OPENAI_API_KEY\\\" = first'\"")
    guest.wait_until_succeeds("grep -qx first /run/seen")
    guest.succeed("su - alice -c 'llmhook-run --print OPENAI_API_KEY' | grep -qx first")
    guest.succeed("""${give "second"}""")
    guest.wait_until_succeeds("grep -qx second /run/seen")
    guest.succeed("test ! -e /etc/profile.local")
  '';
}
