//! What pacecar itself costs: the generator is on trial too.
//!
//! Linux' `/proc` and cgroup files; elsewhere a figure that cannot be had is absent.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time of this process, all threads, user and system.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The most memory this process has had resident, in bytes.
#[must_use]
pub fn max_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    peak_of(&status)
}

/// How long this process' cgroup was kept from running by a CPU limit, since the cgroup began.
#[must_use]
pub fn throttled() -> Option<Duration> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = format!("/sys/fs/cgroup{}/cpu.stat", path.trim_end_matches('/'));
    // In a container the path is often that of the host, while the mount shows the container's own group at its root.
    let stat = std::fs::read_to_string(own).or_else(|_| std::fs::read_to_string("/sys/fs/cgroup/cpu.stat")).ok()?;
    throttled_of(&stat)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn throttled_of(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("throttled_usec "))?;
    line.trim().parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_kernels_texts() {
        assert_eq!(peak_of("VmPeak:\t 1 kB\nVmHWM:\t    9712 kB\n"), Some(9712 * 1024));
        assert_eq!(throttled_of("usage_usec 5\nthrottled_usec 1500\n"), Some(Duration::from_micros(1500)));
        assert_eq!(throttled_of("usage_usec 5\n"), None);
        assert!(max_rss_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_time();
        let mut x = 1_u64;
        while cpu_time() == before {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005));
        }
        assert!(cpu_time() > before);
    }
}
