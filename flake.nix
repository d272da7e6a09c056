# The package, both NixOS modules, and a test in a NixOS VM. What is tested of this where Nix cannot build, as on
# Debian, is in tests/build/test-nix.sh: it parses everything and evaluates the modules. The VM test has not been run
# by its authors.
{
  description = "Gives every libvirt VM an LLM API key of its own, with a budget, which dies with the VM";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forAll (pkgs: rec {
        llmhook = pkgs.callPackage ./packaging/nix/package.nix { };
        default = llmhook;
      });

      nixosModules = {
        host = ./packaging/nix/host.nix;
        guest = ./qemu-guest-agent/guest/nixos;
      };

      checks = forAll (pkgs: {
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.llmhook;
        vm = pkgs.testers.runNixOSTest ./packaging/nix/vm-test.nix;
      });
    };
}
