//! This host's name.

use crate::message::{HOSTNAME_MAX, header_field};
use std::fs;

/// The fully qualified name where the system knows it without asking the network, else the name it has; `-` if none.
pub(crate) fn hostname() -> String {
    let name = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    header_field(&qualified(&name, &hosts).unwrap_or(name), HOSTNAME_MAX)
}

/// The first name with a dot on a line of `/etc/hosts` that has `name`: what `hostname -f` prints.
fn qualified(name: &str, hosts: &str) -> Option<String> {
    if name.contains('.') {
        return None;
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = |line: &'_ str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    lines.map(names).filter(|names| names.iter().any(|other| other == name)).flatten().find(|other| other.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_completed_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 old.example.com box\n10.0.0.1\tbox.example.com  box # mine\n";
        assert_eq!(qualified("box", hosts).as_deref(), Some("box.example.com"));
        assert_eq!(qualified("localhost", hosts), None);
        assert_eq!(qualified("a.example.org", hosts), None);
        assert_eq!(qualified("", hosts), None);
    }
}
