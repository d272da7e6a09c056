# llmhook as a package: `pkgs.callPackage ./package.nix { }`. Its tests are not run here: they make namespaces, start
# libvirtd and need root, none of which a build has.
{ lib, stdenv, autoreconfHook, pkg-config, curl, inih, json_c, libsodium, libvirt, libxml2, openssl, sqlite, util-linux,
  glibc }:

let
  top = ../..;
  init = builtins.match ".*AC_INIT\\(\\[llmhook], \\[([0-9.]+)].*" (builtins.readFile (top + "/configure.ac"));
in
stdenv.mkDerivation {
  pname = "llmhook";
  version = builtins.head init;
  src = lib.cleanSource top;

  nativeBuildInputs = [ autoreconfHook pkg-config ];
  # The C library's static part is the hook's, which libvirt starts in front of every VM.
  buildInputs = [ curl inih json_c libsodium libvirt libxml2 openssl sqlite util-linux glibc.static ];
  configureFlags = [ "--sysconfdir=/etc" "--localstatedir=/var" ];
  enableParallelBuilding = true;

  meta = {
    description = "Gives every libvirt VM an LLM API key of its own, with a budget, which dies with the VM";
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    mainProgram = "llmhook";
  };
}
