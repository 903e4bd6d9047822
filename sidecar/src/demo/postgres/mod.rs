//! A temporary Postgres cluster whose life is bound to ours.
//!
//! The demo, and every test that needs a database, starts one in a directory of its own, on
//! loopback, under a random password, and takes it down again. Three things end it: [`Drop`]
//! (success, error and panic), the [`watchdog`] (we were killed and could not run `Drop`), and
//! the next start ([`leftovers`]: the watchdog was killed too).

mod find;
pub(super) mod leftovers;
pub(super) mod watchdog;

use find::Binaries;
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use watchdog::Watchdog;

/// The superuser of the cluster. Not `pacecar`: its tables would be made in the schema of that name.
const USER: &str = "demo";
/// What `initdb` always makes.
const DATABASE: &str = "postgres";
/// How often a port that somebody else took first is exchanged for another.
const PORT_ATTEMPTS: u32 = 5;
/// How often a state that has no event is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How many polls a server gets to become ready: 15 s.
const READY_POLLS: u32 = 1_500;
/// How many polls a server gets to stop by itself: 5 s.
const STOP_POLLS: u32 = 500;
/// The longest socket path that every Unix takes, with room for `/.s.PGSQL.65535`.
const SOCKET_DIR_MAX: usize = 80;

/// A running cluster. Dropping it stops the server and removes its directory.
pub(crate) struct TemporaryPostgres {
    directory: PathBuf,
    port: u16,
    password: String,
    server: Child,
    /// Dropped last: it guards the directory until that is gone.
    watchdog: Watchdog,
}

/// Why there is no temporary cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostgresError {
    /// No server on this machine.
    #[error("no Postgres server found: `apt-get install postgresql`, or set DATABASE_URL to a database of your own")]
    NotInstalled,
    /// Root, and nobody to be instead.
    #[error("Postgres refuses to run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUnprivilegedUser,
    /// A file or a process could not be had.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// `initdb` ended with an error.
    #[error("initdb failed: {said}")]
    Initdb {
        /// The end of what it said.
        said: String,
    },
    /// The server ended instead of becoming ready.
    #[error("the temporary Postgres ended at once: {said}")]
    Ended {
        /// The end of its log.
        said: String,
    },
    /// The server did not become ready in time.
    #[error("the temporary Postgres was not ready within 15 s: {said}")]
    Late {
        /// The end of its log.
        said: String,
    },
}

/// Whom the server runs as, where that is not us.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

// === impl TemporaryPostgres ===

impl TemporaryPostgres {
    /// Starts a cluster; blocks for about a second.
    ///
    /// # Errors
    /// Where there is no server on this machine, or it does not start. Nothing is left behind then.
    pub(crate) fn start() -> Result<Self, PostgresError> {
        let binaries = Binaries::find().ok_or(PostgresError::NotInstalled)?;
        let account = unprivileged()?;
        let parent = parent_directory(account.is_some());
        leftovers::sweep(&parent);

        let directory = parent.join(format!("{}{}-{}", leftovers::PREFIX, std::process::id(), random_hex(4)?));
        fs::DirBuilder::new().mode(0o700).create(&directory).map_err(io_error("make a temporary directory"))?;
        let mut watchdog = match Watchdog::start(Some(&directory)) {
            Ok(watchdog) => watchdog,
            Err(source) => {
                let _ = fs::remove_dir_all(&directory);
                return Err(PostgresError::Io { what: "start the watchdog of the temporary Postgres", source });
            }
        };
        let started = prepare(&directory, account).and_then(|()| {
            let password = random_hex(16)?;
            initdb(&binaries, &directory, account, &password, &mut watchdog)?;
            let (server, port) = launch(&binaries, &directory, account, &mut watchdog)?;
            Ok((server, port, password))
        });
        match started {
            Ok((server, port, password)) => Ok(Self { directory, port, password, server, watchdog }),
            Err(error) => {
                // The watchdog removes the directory when it is dropped here.
                watchdog.watch_nobody();
                Err(error)
            }
        }
    }

    /// The connection string, password included: never print it.
    pub(crate) fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// The connection string of another database of this cluster.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The directory that holds all of it.
    #[cfg(test)]
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process id of the server.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }
}

impl fmt::Debug for TemporaryPostgres {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemporaryPostgres").field("directory", &self.directory).field("port", &self.port).finish()
    }
}

impl Drop for TemporaryPostgres {
    fn drop(&mut self) {
        stop(&mut self.server);
        // The server is reaped, so its process id may be anybody's from here on.
        self.watchdog.watch_nobody();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

// === helpers ===

/// An adapter for `map_err`.
fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> PostgresError {
    move |source| PostgresError::Io { what, source }
}

/// `bytes` random bytes from the system, in hex.
fn random_hex(bytes: usize) -> Result<String, PostgresError> {
    let mut random = vec![0; bytes];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random));
    read.map_err(io_error("read random bytes"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whom to run as: nobody else, unless we are root.
fn unprivileged() -> Result<Option<Account>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").map_err(io_error("read /etc/passwd"))?;
    let find = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let account = Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? };
        (account.uid != 0).then_some(account)
    };
    find("postgres").or_else(|| find("nobody")).map(Some).ok_or(PostgresError::NoUnprivilegedUser)
}

/// Where temporary directories go. Another user must be able to walk there, or it is `/tmp`.
fn parent_directory(for_another_user: bool) -> PathBuf {
    let temporary = std::env::temp_dir();
    let walkable = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.is_dir() && meta.mode() & 0o001 != 0);
    if for_another_user && !temporary.ancestors().all(walkable) { PathBuf::from("/tmp") } else { temporary }
}

/// Says whose directory it is, and gives it to whom the server runs as.
fn prepare(directory: &Path, account: Option<Account>) -> Result<(), PostgresError> {
    leftovers::sign(directory).map_err(io_error("write into the temporary directory"))?;
    if let Some(Account { uid, gid }) = account {
        chown(directory, Some(uid), Some(gid)).map_err(io_error("give the temporary directory to another user"))?;
    }
    Ok(())
}

/// A command in `directory` that sees none of our environment, run as `account`, its output in `log`.
fn command(program: &Path, directory: &Path, account: Option<Account>, log: File) -> io::Result<Command> {
    let mut command = Command::new(program);
    // A process group of its own: Ctrl-C is for us, and we stop the server in order.
    command.env_clear().current_dir(directory).process_group(0);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

fn initdb(
    binaries: &Binaries,
    directory: &Path,
    account: Option<Account>,
    password: &str,
    watchdog: &mut Watchdog,
) -> Result<(), PostgresError> {
    let secret = directory.join("password");
    let written = File::options().write(true).create_new(true).mode(0o600).open(&secret).and_then(|mut file| {
        io::Write::write_all(&mut file, password.as_bytes())?;
        account.map_or(Ok(()), |Account { uid, gid }| chown(&secret, Some(uid), Some(gid)))
    });
    written.map_err(io_error("write into the temporary directory"))?;

    let log = directory.join("initdb.log");
    let ran = File::create(&log).and_then(|file| {
        let mut command = command(&binaries.initdb, directory, account, file)?;
        command.arg("-D").arg(directory.join("data")).arg(format!("--pwfile={}", secret.display()));
        command.args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let mut child = command.spawn()?;
        watchdog.watch(child.id())?;
        child.wait()
    });
    let status = ran.map_err(io_error("run initdb"))?;
    let _ = fs::remove_file(&secret);
    if status.success() { Ok(()) } else { Err(PostgresError::Initdb { said: tail(&log) }) }
}

/// Starts the server on a free port. Between finding a port and binding it another process may
/// take it; then the server ends at once, and the next port is tried.
fn launch(
    binaries: &Binaries,
    directory: &Path,
    account: Option<Account>,
    watchdog: &mut Watchdog,
) -> Result<(Child, u16), PostgresError> {
    let mut attempt = 1;
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = listener.map_err(io_error("find a free port"))?.port();
        let mut server = spawn_server(binaries, directory, account, port).map_err(io_error("start postgres"))?;
        let ready = watchdog
            .watch(server.id())
            .map_err(io_error("reach the watchdog of the temporary Postgres"))
            .and_then(|()| await_ready(directory, &mut server));
        match ready {
            Ok(()) => return Ok((server, port)),
            Err(PostgresError::Ended { .. }) if attempt < PORT_ATTEMPTS => attempt += 1,
            Err(error) => {
                stop(&mut server);
                return Err(error);
            }
        }
    }
}

fn spawn_server(binaries: &Binaries, directory: &Path, account: Option<Account>, port: u16) -> io::Result<Child> {
    let log = File::create(directory.join("postgres.log"))?;
    let mut command = command(&binaries.postgres, directory, account, log)?;
    command.arg("-D").arg(directory.join("data"));
    let sockets =
        if directory.as_os_str().len() <= SOCKET_DIR_MAX { directory.display().to_string() } else { String::new() };
    // Nothing of it survives the run, so nothing of it needs to survive a crash; and `mmap`
    // keeps even shared memory inside the directory, where removing it removes all.
    let settings = [
        ("port", port.to_string()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", sockets),
        ("max_connections", "100".to_owned()),
        ("shared_buffers", "32MB".to_owned()),
        ("dynamic_shared_memory_type", "mmap".to_owned()),
        ("fsync", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("wal_level", "minimal".to_owned()),
        ("max_wal_senders", "0".to_owned()),
        ("jit", "off".to_owned()),
    ];
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.spawn()
}

/// Waits until the server has written `ready` into its pid file.
fn await_ready(directory: &Path, server: &mut Child) -> Result<(), PostgresError> {
    let pid_file = directory.join("data/postmaster.pid");
    let log = directory.join("postgres.log");
    for _ in 0..READY_POLLS {
        if server.try_wait().map_err(io_error("wait for postgres"))?.is_some() {
            return Err(PostgresError::Ended { said: tail(&log) });
        }
        // Line 1 is the server's own pid: a file of an earlier attempt does not count.
        let state = fs::read_to_string(&pid_file).unwrap_or_default();
        let mut lines = state.lines();
        let ours = lines.next().and_then(|pid| pid.trim().parse().ok()) == Some(server.id());
        if ours && lines.nth(6).is_some_and(|state| state.trim() == "ready") {
            return Ok(());
        }
        thread::sleep(POLL);
    }
    Err(PostgresError::Late { said: tail(&log) })
}

/// Asks the server to stop at once (SIGINT: open sessions are ended), then insists.
fn stop(server: &mut Child) {
    if let Some(pid) = i32::try_from(server.id()).ok().and_then(Pid::from_raw) {
        for _ in 0..STOP_POLLS {
            match server.try_wait() {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return,
            }
            // Asked again each time: a server that is just starting may not hear the first.
            let _ = kill_process(pid, Signal::INT);
            thread::sleep(POLL);
        }
    }
    let _ = server.kill();
    let _ = server.wait();
}

/// The last three lines of a log, on one line.
fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
