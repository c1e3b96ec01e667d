//! The container or service that a cgroup path stands for, as its owner would call it.
//!
//! Main function: [`container_of`]. It knows how Docker, containerd, CRI-O, Podman, Kubernetes,
//! LXC, systemd-nspawn and systemd name their groups; what it does not know is `None`.

/// A short name such as `docker:0123456789ab`, `lxc:web` or `nginx.service`; `None` for a group
/// that is none of these. The innermost container wins over the service it runs under.
#[must_use]
pub fn container_of(cgroup_path: &str) -> Option<String> {
    let names: Vec<&str> = cgroup_path
        .split('/')
        .filter(|name| !name.is_empty())
        .collect();
    innermost_container(&names).or_else(|| innermost_unit(&names))
}

fn innermost_container(names: &[&str]) -> Option<String> {
    (0..names.len()).rev().find_map(|at| {
        let before = &names[..at];
        container_by_id(names[at], before).or_else(|| container_by_name(names[at], before))
    })
}

/// Prefixes in unit names such as `docker-<id>.scope`, and whose containers they mark.
const SCOPE_PREFIXES: [(&str, &str); 5] = [
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "crio"),
    ("libpod", "podman"),
];

/// Containers whose group is named after their 64-digit id.
fn container_by_id(name: &str, before: &[&str]) -> Option<String> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    // "<slice>:cri-containerd:<id>": a systemd-style name made by a runtime without systemd.
    let (owner, id) = match name.rsplit_once([':', '-']) {
        Some((owner, id)) => (owner.rsplit(':').next().unwrap_or(owner), id),
        None => ("", name),
    };
    if !is_long_id(id) {
        return None;
    }
    let known = SCOPE_PREFIXES
        .iter()
        .find(|(prefix, _)| *prefix == owner)
        .map(|(_, runtime)| *runtime);
    let runtime = match known {
        Some(runtime) => runtime,
        // "libpod-conmon-<id>", "crio-conmon-<id>": the runtime's own helper beside the
        // container, and other names we do not know.
        None if !owner.is_empty() => return None,
        None => runtime_above(before),
    };
    Some(format!("{runtime}:{}", &id[..12]))
}

/// Whose container a bare id is, by the groups above it.
fn runtime_above(before: &[&str]) -> &'static str {
    let above = |wanted: &str| before.iter().any(|name| name.starts_with(wanted));
    if above("kubepods") {
        "kubepods"
    } else if above("docker") {
        "docker"
    } else if above("libpod") {
        "podman"
    } else {
        "container"
    }
}

/// Containers whose group is named after what their owner called them.
fn container_by_name(name: &str, before: &[&str]) -> Option<String> {
    if let Some(given) = name.strip_prefix("lxc.payload.") {
        return Some(format!("lxc:{given}"));
    }
    if before == ["lxc"] || before == ["lxc.payload"] {
        return Some(format!("lxc:{name}"));
    }
    let machine = name.strip_prefix("machine-")?.strip_suffix(".scope")?;
    // machine-qemu-… is a virtual machine of libvirt: its emulator's memory, no container.
    let contained = before.last() == Some(&"machine.slice") && !machine.starts_with("qemu");
    contained.then(|| format!("nspawn:{}", unescape_unit(machine)))
}

fn is_long_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The innermost systemd service or scope.
fn innermost_unit(names: &[&str]) -> Option<String> {
    names
        .iter()
        .rev()
        .find(|name| name.ends_with(".service") || name.ends_with(".scope"))
        .map(|name| unescape_unit(name))
}

/// systemd writes bytes that a unit's name may not hold as `\x2d` (systemd.unit(5)).
fn unescape_unit(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(byte) = rest.bytes().next() {
        let escaped = rest
            .strip_prefix("\\x")
            .and_then(|tail| tail.get(..2))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(byte));
        // Bytes are taken one at a time, so `rest` is cut as bytes and may not be by chars.
        let taken = if escaped.is_some() { 4 } else { 1 };
        match rest.get(taken..) {
            Some(tail) => rest = tail,
            // In the middle of a character: take the rest of it unchanged.
            None => {
                let width = rest.chars().next().map_or(1, char::len_utf8);
                plain.extend_from_slice(&rest.as_bytes()[1..width]);
                rest = &rest[width..];
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "3f1c0aa2b4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f";

    #[test]
    fn groups_and_whose_they_are() {
        let check = |path: &str, expected: Option<&str>| {
            let path = path.replace("<id>", ID);
            let expected = expected.map(|name| name.replace("<12>", &ID[..12]).replace("<id>", ID));
            assert_eq!(container_of(&path), expected, "{path}");
        };
        check("/docker/<id>", Some("docker:<12>"));
        check("/docker/<id>/init.scope", Some("docker:<12>"));
        check("/system.slice/docker-<id>.scope", Some("docker:<12>"));
        check("/kubepods/burstable/pod1b2c/<id>", Some("kubepods:<12>"));
        check(
            "/kubepods.slice/kubepods-pod1b_2c.slice/cri-containerd-<id>.scope",
            Some("containerd:<12>"),
        );
        check(
            "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:<id>",
            Some("containerd:<12>"),
        );
        check(
            "/kubepods.slice/kubepods-pod1.slice/crio-<id>.scope",
            Some("crio:<12>"),
        );
        check(
            "/machine.slice/libpod-<id>.scope/container",
            Some("podman:<12>"),
        );
        check(
            "/machine.slice/libpod-conmon-<id>.scope",
            Some("libpod-conmon-<id>.scope"),
        );
        check("/ecs/task/<id>", Some("container:<12>"));
        check("/lxc/web", Some("lxc:web"));
        check("/lxc/web/system.slice/nginx.service", Some("lxc:web"));
        check("/lxc.payload.web/init.scope", Some("lxc:web"));
        check("/lxc.payload/web", Some("lxc:web"));
        check(
            "/machine.slice/machine-deb\\x2d12.scope",
            Some("nspawn:deb-12"),
        );
        check(
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
            Some("machine-qemu-1-vm.scope"),
        );
        check("/system.slice/nginx.service", Some("nginx.service"));
        check("/system.slice/nginx.service/worker", Some("nginx.service"));
        check(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
            Some("foo.service"),
        );
        check(
            "/user.slice/user-0.slice/session-3.scope",
            Some("session-3.scope"),
        );
        check("/system.slice/système.service", Some("système.service"));
        check("/system.slice", None);
        check("/", None);
        check("", None);
        check("/process/0123456789abcdef0123456789abcdef", None);
        check("/jobs/é\\x2", None);
    }

    proptest! {
        #[test]
        fn never_panics(path in "(/|\\\\x|docker|lxc|machine-|\\.scope|\\.service|[0-9a-f]{64}|-|:|\\PC){0,20}") {
            let _ = container_of(&path);
        }
    }
}
