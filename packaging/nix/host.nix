# The host's side of llmhook as a NixOS module: the daemon, the hook in libvirt's place, the command.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.llmhook;

  # Keys stand once in a section, and what takes several words has them in one value; but for this one, which has a line
  # for each model.
  repeats = key: key == "rate-limit";
  value = types.oneOf [ types.bool types.int types.float types.str (types.listOf types.str) ];
  write = given:
    if builtins.isBool given then (if given then "yes" else "no")
    else if builtins.isList given then lib.concatStringsSep " " given
    else toString given;
  lines = key: given: map (one: "${key} = ${write one}") (if repeats key then lib.toList given else [ given ]);
  # Sets come in the order of their names, which means nothing here; of policies the first that matches holds, so they are
  # a list.
  sections = lib.mapAttrsToList (header: keys: { inherit header keys; }) cfg.settings
    ++ map (policy: { header = "policy ${policy.pattern}"; keys = removeAttrs policy [ "pattern" ]; }) cfg.policies;
  written = section: [ "[${section.header}]" ] ++ lib.concatLists (lib.mapAttrsToList lines section.keys);
  ini = lib.concatMapStringsSep "\n" (section: lib.concatMapStrings (line: "${line}\n") (written section)) sections;

  # A mistake ends the build, with its line, and not the daemon. The price table is not looked at here: the system's own is not
  # there yet, and one in the store belongs to nobody as builders see it.
  checked = pkgs.runCommand "llmhook.conf" { text = ini; passAsFile = [ "text" ]; } ''
    sed 's/^prices = .*//' "$textPath" >llmhook.conf
    ${cfg.package}/bin/llmhookd --check --config "$PWD/llmhook.conf"
    cp "$textPath" $out
  '';

  hook = "${cfg.package}/libexec/llmhook/qemu";
  path = types.strMatching "/.*";
  credentials = cfg.credentials // cfg.encryptedCredentials;
in
{
  options.services.llmhook = {
    enable = mkEnableOption "an LLM API key of its own for every libvirt virtual machine that asks for one";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The llmhook to use: daemon, hook and command are of one package.";
    };

    settings = mkOption {
      type = types.attrsOf (types.attrsOf value);
      default = { };
      example = lib.literalExpression ''
        {
          "provider openai".admin-key = "credential:openai-admin";
          alerts.mail = "root@example.org";
        }
      '';
      description = ''
        What stands in `/etc/llmhook/llmhook.conf`, section by section, but for policies: see llmhook.conf(5). A list is
        written as words, and that of `rate-limit` as a line each. It ends up in the world-readable Nix store: keys are
        named here, as in `credential:NAME`, and never given. It is checked when the system is built, but for the file that
        `prices` names, without which the daemon does not start.
      '';
    };

    policies = mkOption {
      type = types.listOf (types.submodule {
        freeformType = types.attrsOf value;
        options.pattern = mkOption {
          type = types.strMatching "[^][\n]+";
          example = "agent-*";
          description = "Which domains it is for, by their names: `*` stands for any text, `?` for any one byte.";
        };
      });
      default = [ ];
      example = lib.literalExpression ''
        [
          { pattern = "dev-build-*"; } # nothing for these
          { pattern = "dev-*"; providers = [ "openai" ]; monthly-limit = 25; }
        ]
      '';
      description = ''
        The sections `[policy PATTERN]` of the same file, in this order: the first whose pattern matches a domain's name
        holds, and no other.
      '';
    };

    credentials = mkOption {
      type = types.attrsOf path;
      default = { };
      example = { openai-admin = "/run/secrets/openai-admin"; };
      description = ''
        Files of secrets that systemd hands to the daemon, each under the name that `credential:NAME` in
        {option}`settings` asks for. Paths as text, outside of the Nix store; sops-nix and agenix give such.
      '';
    };

    encryptedCredentials = mkOption {
      type = types.attrsOf path;
      default = { };
      example = { seal = "/etc/credstore.encrypted/llmhook-seal"; };
      description = "The same for files that systemd-creds(1) has encrypted for this host.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = !lib.any (lib.hasPrefix "policy ") (lib.attrNames cfg.settings);
        message = "services.llmhook.settings: the first policy that matches holds, so they have an order: write them into "
          + "services.llmhook.policies";
      }
      {
        assertion = lib.all
          (section: lib.elem section [ "daemon" "vault" "alerts" ]
            || lib.any (kind: lib.hasPrefix kind section) [ "provider " "owner " "policy " ])
          (lib.attrNames cfg.settings);
        message = ''services.llmhook.settings: a section is "daemon", "vault", "alerts", "provider NAME" or "owner NAME"'';
      }
      {
        # The rest of it would be a line of its own, of whatever meaning.
        assertion = !lib.any (lib.hasInfix "\n") (lib.concatMap written sections);
        message = "services.llmhook: a section and a value are one line each";
      }
      {
        assertion = lib.all (name: builtins.match "[A-Za-z0-9_.-]+" name != null) (lib.attrNames credentials);
        message = "services.llmhook.credentials: a name is of letters, digits, '_', '.' and '-'";
      }
      {
        assertion = lib.intersectLists (lib.attrNames cfg.credentials) (lib.attrNames cfg.encryptedCredentials) == [ ];
        message = "services.llmhook: a credential is given both encrypted and not";
      }
      {
        assertion = !lib.any (lib.hasPrefix "${builtins.storeDir}/") (lib.attrValues cfg.credentials);
        message = "services.llmhook.credentials: everybody can read the Nix store, so no secret may be in it";
      }
    ];

    environment.systemPackages = [ cfg.package ];
    environment.etc."llmhook/llmhook.conf".source = checked;

    # Beside other hooks; libvirt runs them in the order of their names. libvirtd's configuration empties the folder and
    # makes the link, but only when libvirtd starts, so the same link is made at each switch: one that is left from before
    # points to a package that may have been collected meanwhile.
    virtualisation.libvirtd.hooks.qemu."50-llmhook" = hook;
    systemd.tmpfiles.rules = [ "L+ /var/lib/libvirt/hooks/qemu.d/50-llmhook - - - - ${hook}" ];

    # The unit is the package's own, packaging/systemd/llmhookd.service.in, with all its hardening; this is what a
    # drop-in adds on this host.
    systemd.packages = [ cfg.package ];
    systemd.services.llmhookd = {
      wantedBy = [ "multi-user.target" ];
      reloadTriggers = [ checked ];
      serviceConfig = {
        # There is no /bin/kill.
        ExecReload = [ "" "${pkgs.coreutils}/bin/kill -HUP $MAINPID" ];
        LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") cfg.credentials;
        LoadCredentialEncrypted = lib.mapAttrsToList (name: path: "${name}:${path}") cfg.encryptedCredentials;
      };
    };
  };
}
