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
    let read = |file: String| throttled_of(&std::fs::read_to_string(file).ok()?);
    stat_files(&groups).into_iter().find_map(read)
}

/// Where the kernel may tell it, the likeliest first: cgroup v1, where a controller `cpu` is mounted of its own, then v2.
/// In a container the path is often that of the host, while the mount shows the container's own group at its root.
fn stat_files(groups: &str) -> Vec<String> {
    // A process is in a group of v1 for `cpu`, or of v2: where both are there, v1 has the limit.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_end_matches('/');
        if controllers.split(',').any(|controller| controller == "cpu") {
            for mount in [controllers, "cpu"] {
                first.extend([path, ""].map(|path| format!("/sys/fs/cgroup/{mount}{path}/cpu.stat")));
            }
        } else if controllers.is_empty() {
            second.extend([path, ""].map(|path| format!("/sys/fs/cgroup{path}/cpu.stat")));
        }
    }
    first.append(&mut second);
    first
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// `throttled_usec` of cgroup v2, `throttled_time` in nanoseconds of v1.
fn throttled_of(stat: &str) -> Option<Duration> {
    let value = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
    value("throttled_usec ").map(Duration::from_micros).or_else(|| value("throttled_time ").map(Duration::from_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_kernels_texts() {
        assert_eq!(peak_of("VmPeak:\t 1 kB\nVmHWM:\t    9712 kB\n"), Some(9712 * 1024));
        assert_eq!(throttled_of("usage_usec 5\nthrottled_usec 1500\n"), Some(Duration::from_micros(1500)));
        assert_eq!(throttled_of("nr_throttled 3\nthrottled_time 1500000000\n"), Some(Duration::from_millis(1500)));
        assert_eq!(throttled_of("usage_usec 5\n"), None);
        assert!(max_rss_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn the_groups_of_either_version_are_found() {
        assert_eq!(stat_files("0::/a/b\n"), ["/sys/fs/cgroup/a/b/cpu.stat", "/sys/fs/cgroup/cpu.stat"]);
        let first = stat_files("0::/\n4:memory:/x\n3:cpu,cpuacct:/pod\n").remove(0);
        assert_eq!(first, "/sys/fs/cgroup/cpu,cpuacct/pod/cpu.stat");
        assert!(stat_files("garbage").is_empty());
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
