# shellcheck shell=bash disable=SC2154
# podman for the tests of kube and compose. Sourced after engine.sh.
#
# A machine without CAP_SYS_RESOURCE can't raise limits, and crun refuses a mix of cgroup v1 and v2: hence the
# settings.
needs podman podman
needs runc runc
needs catatonit catatonit
needs 'netavark and aardvark-dns' /usr/lib/podman/netavark /usr/lib/podman/aardvark-dns
export CONTAINERS_CONF=$folder/containers.conf
cat >"$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
[network]
network_backend = "netavark"
CONF

# build_image: of deploy/Containerfile, unless IMAGE names one.
build_image() {
  local image=localhost/lockstep:latest
  if [ "${IMAGE:-}" ]; then
    podman tag "$IMAGE" "$image"
  else
    podman build --quiet --tag "$image" --file "$root/deploy/Containerfile" "$programs" >/dev/null 2>&1 ||
      fail 'the image was not built'
  fi
}
