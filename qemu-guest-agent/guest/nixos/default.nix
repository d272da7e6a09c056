# The guest's side of llmhook as a NixOS module. Without it the keys come, too: then the delivery hooks login shells
# where /etc can be written. With it nothing in /etc is written at run time, services can have the keys, and what holds
# an earlier key is restarted.
#
# What shells and units run is the text of the files beside, which are also what the delivery itself brings along.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkEnableOption mkIf mkMerge mkOption types;
  cfg = config.services.llmhook.guest;

  hook = builtins.readFile ../hook.sh;

  # As embed.sh does it: a line NAME='@FILE@' of a script becomes the text of that file, without its comments, in which
  # there may be quotes; with the lines by which it is known again. A line `. ./common.sh` becomes what that file does.
  text = name: lib.concatLines (lib.filter
    (line: lib.hasPrefix "#!" line || lib.hasPrefix "# llmhook " line
      || (line != "" && builtins.match "[[:blank:]]*#.*" line == null))
    (lib.splitString "\n" (builtins.readFile (../. + "/${name}"))));
  brought = [ "profile.sh" "hook.sh" "hook.fish" "user-environment" "llmhook-run" ];
  embedded = builtins.replaceStrings
    ([ ". ./common.sh\n" ] ++ map (name: "'@${name}@'") brought)
    ([ (lib.removePrefix "#!/bin/sh\n" (text "common.sh")) ] ++ map (name: "'${text name}'") brought);

  # systemd's own rules for the names of units.
  service = types.strMatching "[A-Za-z0-9:_.@\\-]+";
  unit = types.strMatching
    "[A-Za-z0-9:_.@\\-]+\\.(service|socket|target|timer|path|slice|scope|mount|automount|swap|device)";
  variable = types.strMatching "[A-Z_][A-Z0-9_]*";

  nameOf = lib.removeSuffix ".service";
  inEnvironment = map nameOf cfg.services;
  byCredential = lib.mapAttrs' (name: lib.nameValuePair (nameOf name)) cfg.credentialServices;

  restarted = lib.unique (cfg.restartUnits
    ++ lib.optionals cfg.restartServices
      (map (name: "${name}.service") (inEnvironment ++ lib.attrNames byCredential)));
  # Reloading was asked for by name; restarting may only be the default.
  told = map (name: "restart ${name}") (lib.subtractLists cfg.reloadUnits restarted)
    ++ map (name: "reload ${name}") cfg.reloadUnits;
in
{
  options.services.llmhook.guest = {
    enable = mkEnableOption "LLM API keys from the llmhook of this virtual machine's host";

    group = mkOption {
      type = types.nullOr (types.strMatching "[a-z_][a-z0-9_-]{0,31}");
      default = null;
      example = "llmhook";
      description = ''
        A group to make, for a policy on the host that says `readers = group:NAME`: root and the members of that group
        read the keys then. Who is to be in it is said where users are declared, as in
        `users.users.alice.extraGroups`. Who reads the keys is decided on the host, not here.
      '';
    };

    shells = mkOption {
      type = types.listOf (types.enum [ "bash" "zsh" "fish" ]);
      default = [ "bash" "zsh" "fish" ];
      description = ''
        Shells in which the keys are in the environment: login shells, interactive shells, and `ssh HOST COMMAND`.
        Each new shell reads the keys of that moment.
      '';
    };

    userServices = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the services that people's logins start (`systemctl --user`) have the keys, each those that its user
        may read. A manager that runs already is told when keys come, change or go; services of its that run are not.
      '';
    };

    services = mkOption {
      type = types.listOf service;
      default = [ ];
      example = [ "agent" ];
      description = ''
        System services that get all keys in their environment, by `EnvironmentFile=-/run/llmhook/env`. They start
        without keys when none has been delivered yet; see {option}`restartServices`.
      '';
    };

    credentialServices = mkOption {
      type = types.attrsOf (types.nonEmptyListOf variable);
      default = { };
      example = { agent = [ "OPENAI_API_KEY" ]; };
      description = ''
        System services that get the keys named as files, by `LoadCredential=`: in
        `$CREDENTIALS_DIRECTORY/OPENAI_API_KEY`, whatever user they run as. A service whose key has not been delivered
        yet does not start; it is started when the key comes, unless {option}`restartServices` is off.
      '';
    };

    bootCredential = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the services of {option}`services` also take the keys that the host hands over when the virtual machine
        starts (`boot-credential` in its policy, and an entry in its domain's XML), which needs no guest agent. What the
        agent delivers counts where there is both.
      '';
    };

    restartServices = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the services of {option}`services` and {option}`credentialServices` are restarted when their keys
        come or change. Otherwise they go on with what they were started with, which works no longer than the
        policy's `overlap` after a rotation.
      '';
    };

    restartUnits = mkOption {
      type = types.listOf unit;
      default = [ ];
      example = [ "nightly-agent.service" ];
      description = "Other units to restart, if they run or have failed, when the keys have changed.";
    };

    dropBox = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether keys can be left in a drop box, for a guest whose agent may run no programs (`guest-exec` in its
        `block-rpcs`) but may read and write files. The agent of NixOS may run programs, unless that was changed.
      '';
    };

    reloadUnits = mkOption {
      type = types.listOf unit;
      default = [ ];
      example = [ "proxy.service" ];
      description = ''
        Units to reload instead. One that cannot be reloaded is restarted. A unit that stands here is not restarted
        for the sake of {option}`restartServices`.
      '';
    };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      assertions = [{
        assertion = lib.intersectLists cfg.restartUnits cfg.reloadUnits == [ ];
        message = "services.llmhook.guest: to be restarted and to be reloaded: "
          + lib.concatStringsSep ", " (lib.intersectLists cfg.restartUnits cfg.reloadUnits);
      }];

      # By which the keys come. NixOS has the agent started by udev alone, when the channel appears: after a switch it would
      # not run before the next boot. Without the channel it would fail again and again.
      services.qemuGuest.enable = true;
      systemd.services.qemu-guest-agent = {
        wantedBy = [ "multi-user.target" ];
        unitConfig.ConditionPathExists = lib.mkDefault "/dev/virtio-ports/org.qemu.guest_agent.0";
      };

      # The delivery leaves /etc alone where this is.
      environment.etc."llmhook/native".text = "shells are hooked by the NixOS module services.llmhook.guest\n";

      environment.systemPackages =
        [ (pkgs.writeScriptBin "llmhook-run" (builtins.readFile ../llmhook-run)) ];
    }

    (mkIf (cfg.group != null) { users.groups.${cfg.group} = { }; })

    # Not environment.shellInit, which fish would have to translate. Interactive children read it again, since
    # a rotation may lie between them and their login shell.
    (mkIf (lib.elem "bash" cfg.shells) {
      programs.bash.shellInit = hook;
      programs.bash.interactiveShellInit = hook;
    })
    (mkIf (lib.elem "zsh" cfg.shells) { programs.zsh.shellInit = hook; })
    (mkIf (lib.elem "fish" cfg.shells) { programs.fish.shellInit = builtins.readFile ../hook.fish; })

    (mkIf cfg.userServices {
      environment.etc."systemd/user-environment-generators/20-llmhook".source =
        pkgs.writeScript "20-llmhook" (builtins.readFile ../user-environment);
    })

    {
      systemd.services = mkMerge [
        (lib.genAttrs inEnvironment (_: {
          serviceConfig.EnvironmentFile =
            lib.optional cfg.bootCredential "-/run/credentials/@system/llmhook.env" ++ [ "-/run/llmhook/env" ];
        }))
        (lib.mapAttrs
          (_: names: { serviceConfig.LoadCredential = map (name: "${name}:/run/llmhook/${name}") names; })
          byCredential)
      ];
    }

    (mkIf cfg.dropBox {
      systemd.tmpfiles.rules = lib.filter (lib.hasInfix "/run/llmhook.box")
        (lib.splitString "\n" (builtins.readFile ../systemd/llmhook-box.conf));
      environment.etc = lib.genAttrs (map (name: "llmhook/box/${name}.sh") [ "deliver" "probe" "withdraw" "clean" ])
        (name: { text = embedded (builtins.readFile (../. + "/${baseNameOf name}")); });
      systemd.paths.llmhook-box = {
        description = "The host's drop box for LLM API keys";
        wantedBy = [ "paths.target" ];
        pathConfig.PathExists = "/run/llmhook.box/ready";
      };
      systemd.services.llmhook-box = {
        description = "Take LLM API keys out of the host's drop box";
        path = [ pkgs.coreutils pkgs.gnused ];
        unitConfig.StartLimitIntervalSec = 0;
        serviceConfig = {
          Type = "oneshot";
          ExecStart = "${pkgs.writeScript "llmhook-box" (builtins.readFile ../box.sh)} /etc/llmhook/box";
        };
      };
    })

    (mkIf (told != [ ]) {
      environment.etc."llmhook/units".text = lib.concatLines told;
      systemd.paths.llmhook-units = {
        description = "New LLM API keys from the host";
        wantedBy = [ "paths.target" ];
        pathConfig.PathExists = "/run/llmhook/.fresh";
      };
      systemd.services.llmhook-units = {
        description = "Tell units that their LLM API keys have changed";
        path = [ pkgs.coreutils config.systemd.package ];
        unitConfig.StartLimitIntervalSec = 0;
        serviceConfig = {
          Type = "oneshot";
          ExecStart = "${pkgs.writeScript "llmhook-units" (embedded (builtins.readFile ../units.sh))}";
        };
      };
    })
  ]);
}
