//! The processes below this one, as the kernel has them.

use rustix::process::Pid;
use std::collections::{HashMap, HashSet};

/// All that live below this process: children, theirs, and what lost its parent and came here. Zombies have ended.
pub(super) fn below() -> Vec<Pid> {
    let Ok(own) = i32::try_from(std::process::id()) else { return Vec::new() };
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent_of_living(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![own]);
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(*child) {
                open.push(*child);
                found.extend(Pid::from_raw(*child));
            }
        }
    }
    found
}

/// The parent of a process by its `stat`; none of a zombie. The name may hold anything, even brackets.
fn parent_of_living(stat: &str) -> Option<i32> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.next()?.parse().ok() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_parent_is_read_whatever_the_name() {
        assert_eq!(parent_of_living("12 (node) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of_living("12 (a) Z 9) (b) R 8 1"), Some(8));
        assert_eq!(parent_of_living("12 (gone) Z 7 12 12 0"), None);
        assert_eq!(parent_of_living(""), None);
    }

    #[test]
    fn children_and_theirs_are_found() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let sh = i32::try_from(child.id()).unwrap();
        let mut tries = 0;
        let found = loop {
            let found = below();
            let has_both = found.iter().any(|pid| pid.as_raw_nonzero().get() == sh) && found.len() >= 2;
            tries += 1;
            if has_both || tries > 500 {
                break found;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        for pid in &found {
            let _ = rustix::process::kill_process(*pid, rustix::process::Signal::KILL);
        }
        child.wait().unwrap();
        assert!(found.len() >= 2, "{found:?}");
    }
}
