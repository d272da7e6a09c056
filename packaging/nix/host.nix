# The host's side of llmhook as a NixOS module: the daemon, the hook in libvirt's place, the command.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.llmhook;

  # Keys stand once in a section, but for some that take several words; those are words of one value.
  value = types.oneOf [ types.bool types.int types.float types.str (types.listOf types.str) ];
  write = given:
    if builtins.isBool given then (if given then "yes" else "no")
    else if builtins.isList given then lib.concatStringsSep " " given
    else toString given;
  ini = lib.generators.toINI {
    mkKeyValue = key: given: "${key} = ${write given}";
  } cfg.settings;
  values = lib.concatMap (section: map write (lib.attrValues section)) (lib.attrValues cfg.settings);

  # A mistake ends the build, with its line, and not the daemon.
  checked = pkgs.runCommand "llmhook.conf" { text = ini; passAsFile = [ "text" ]; } ''
    cp "$textPath" llmhook.conf
    ${cfg.package}/bin/llmhookd --check --config "$PWD/llmhook.conf"
    cp llmhook.conf $out
  '';

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
          "policy agent-*" = { providers = [ "openai" ]; monthly-limit = 25; };
        }
      '';
      description = ''
        What stands in `/etc/llmhook/llmhook.conf`, section by section: see llmhook.conf(5). A list is written as
        words. It ends up in the world-readable Nix store: keys are named here, as in `credential:NAME`, and never
        given. It is checked when the system is built.
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
        assertion = lib.all
          (section: section == "daemon" || lib.hasPrefix "provider " section || lib.hasPrefix "policy " section)
          (lib.attrNames cfg.settings);
        message = ''services.llmhook.settings: a section is "daemon", "provider NAME" or "policy PATTERN"'';
      }
      {
        # The rest of it would be a line of its own, of whatever meaning.
        assertion = !lib.any (lib.hasInfix "\n") values;
        message = "services.llmhook.settings: a value is one line";
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

    # Beside other hooks; libvirt runs them in the order of their names.
    virtualisation.libvirtd.hooks.qemu."50-llmhook" = "${cfg.package}/libexec/llmhook/qemu";

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
