# llmhook for those without flakes:
#     imports = [ (import /path/to/llmhook { }).nixosModules.guest ];
{ pkgs ? import <nixpkgs> { } }:

{
  llmhook = pkgs.callPackage ./packaging/nix/package.nix { };
  nixosModules = {
    host = ./packaging/nix/host.nix;
    guest = ./qemu-guest-agent/guest/nixos;
  };
}
