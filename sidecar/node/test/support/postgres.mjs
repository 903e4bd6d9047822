// A temporary Postgres of the tests' own, on a socket in a directory of its own; gone when the tests are, however they
// end: a shell holds it that waits for the end of its standard input.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, chownSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Starts one: `{ host, user, database, port, end() }`, undefined where there is no server. */
export async function startPostgres() {
  const programs = find();
  const account = unprivileged();
  if (!programs || account === null) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'pacecar-node-'));
  if (account) chownSync(directory, account.uid, account.gid);
  const data = join(directory, 'data');
  const options = { ...account, cwd: directory, env: { PATH: process.env.PATH, LC_ALL: 'C' } };
  const made = spawnSync(
    join(programs, 'initdb'),
    ['-D', data, '-U', 'pacecar', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    options,
  );
  if (made.status !== 0) {
    rmSync(directory, { recursive: true, force: true });
    throw new Error(`initdb failed: ${made.error ?? made.stderr}`);
  }
  const settings = { listen_addresses: '', unix_socket_directories: directory, fsync: 'off', max_connections: '50',
    shared_buffers: '16MB', dynamic_shared_memory_type: 'mmap' };
  const server = [join(programs, 'postgres'), '-D', data];
  for (const [name, value] of Object.entries(settings)) server.push('-c', `${name}=${value}`);
  // First it waits for connections to close, then it no longer does.
  const script = `"$@" </dev/null >"$0/log" 2>&1 & server=$!
    read -r _; kill -TERM $server; (sleep 3; kill -INT $server) 2>/dev/null & wait $server; rm -rf "$0"/*`;
  const holder = spawn('sh', ['-c', script, directory, ...server], {
    ...options,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(holder, 'exit');
  const end = async () => {
    holder.stdin.end();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  const pidFile = join(data, 'postmaster.pid');
  for (let waited = 0; ; waited += 50) {
    if (existsSync(pidFile) && /\nready\s*$/.test(readFileSync(pidFile, 'utf8'))) break;
    if (waited > 60_000) {
      const log = existsSync(join(directory, 'log')) ? readFileSync(join(directory, 'log'), 'utf8') : '';
      await end();
      throw new Error(`postgres does not start: ${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { host: directory, user: 'pacecar', database: 'postgres', port: 5432, end };
}

/** Where `initdb` and `postgres` are: Debian keeps them out of PATH, one directory a version. */
function find() {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...process.env.PATH.split(':'), ...versions.map((version) => join(debian, version, 'bin'))];
  return folders.find((folder) => ['initdb', 'postgres'].every((program) => executable(join(folder, program))));
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whom to run as: ourselves (undefined) unless we are root; null where there is nobody else. */
function unprivileged() {
  if (process.getuid() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((entry) => entry.startsWith(`${name}:`));
    const [, , uid, gid] = line?.split(':').map(Number) ?? [];
    if (uid > 0) return { uid, gid };
  }
  return null;
}
