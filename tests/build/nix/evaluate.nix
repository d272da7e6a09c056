# What the modules make of a configuration, with nixpkgs' lib alone: NixOS's own options stand here as far as the
# modules set them, of their types there, and its packages as their names.
#
#     nix-instantiate --eval --strict --json evaluate.nix --arg lib 'import LIB' --arg guest '{ enable = true; }' -A config
{ lib, guest ? { }, host ? { } }:

let
  inherit (lib) mkOption types;
  some = type: mkOption { inherit type; };
  lines = mkOption { type = types.lines; default = ""; };
  attrs = mkOption { type = types.attrsOf types.anything; default = { }; };
  # As NixOS's: what comes from several modules is one list.
  settings = types.attrsOf (types.coercedTo types.raw lib.toList (types.listOf types.raw));
  units = mkOption {
    default = { };
    type = types.attrsOf (types.submodule {
      freeformType = types.attrsOf types.anything;
      options.serviceConfig = mkOption { type = settings; default = { }; };
    });
  };

  nixos = {
    options = {
      assertions = mkOption { type = types.listOf types.anything; default = [ ]; };
      environment.etc = attrs;
      environment.systemPackages = mkOption { type = types.listOf types.anything; default = [ ]; };
      programs.bash.shellInit = lines;
      programs.bash.interactiveShellInit = lines;
      programs.fish.shellInit = lines;
      programs.zsh.shellInit = lines;
      services.qemuGuest.enable = mkOption { type = types.bool; default = false; };
      systemd.package = some types.anything;
      systemd.packages = mkOption { type = types.listOf types.anything; default = [ ]; };
      systemd.paths = units;
      systemd.services = units;
      systemd.tmpfiles.rules = mkOption { type = types.listOf types.str; default = [ ]; };
      users.groups = attrs;
      virtualisation.libvirtd.hooks.qemu = attrs;
    };
    config.systemd.package = "systemd";
    config._module.args.pkgs = {
      coreutils = "/coreutils";
      gnused = "/gnused";
      # As a file of the store would be: a name, and what is in it.
      writeScript = name: text: "${name}: ${text}";
      writeScriptBin = name: text: { inherit name text; };
      runCommand = name: environment: script: { inherit name script; inherit (environment) text; };
      callPackage = file: _: throw "no packages are built here: ${toString file}";
    };
  };
  # types.package wants a derivation, and asks no more of it than this.
  package = { type = "derivation"; name = "llmhook"; outPath = "/llmhook"; };

  evaluated = lib.evalModules {
    modules = [
      nixos
      ../../../qemu-guest-agent/guest/nixos
      ../../../packaging/nix/host.nix
      { services.llmhook = host // { inherit guest; } // lib.optionalAttrs (host != { }) { inherit package; }; }
    ];
  };
  inherit (evaluated) config options;

  # Those of ours that lack a type or words.
  documented = lib.filter (option: lib.hasPrefix "services.llmhook." option.name && !(option.internal or false))
    (lib.optionAttrSetToDocList options.services.llmhook);
  words = option: option.description or "";
in
{
  failed = map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) config.assertions);
  config = removeAttrs config [ "assertions" "services" "_module" ] // {
    services.qemuGuest = config.services.qemuGuest;
  };
  options = map (option: option.name) documented;
  untyped = map (option: option.name)
    (lib.filter (option: (option.type or "unspecified") == "unspecified") documented);
  undescribed = map (option: option.name) (lib.filter (option: lib.stringLength (words option) < 20) documented);
}
