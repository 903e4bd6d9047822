#!/usr/bin/env bash
# What the ledger's triggers cost: `benches/ledger.sh DATABASE_URL`, an empty database of its own.
#
# One transaction of one insert, or of one update by key, one connection, each variant several times in
# turn: the server's processor time per transaction, the median. It does not depend on what else the
# machine does. The server must be on this machine, and its files readable.
set -euo pipefail
url=${1:?usage: benches/ledger.sh DATABASE_URL (an empty database)}
pacecar=${PACECAR:-target/release/pacecar}
rounds=${ROUNDS:-5} transactions=${TRANSACTIONS:-12000}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

sql() { psql -qAtX -v ON_ERROR_STOP=1 "$url" -c "$1"; }
cat >"$folder/plan.yaml" <<PLAN
name: bench
base_url: http://127.0.0.1:1
workflow: [{ request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: "\${DATABASE_URL}", roots: [{ table: recorded, where: "note LIKE 'test-%'" }] } }
PLAN
for table in plain recorded; do
    sql "CREATE TABLE $table (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, n int)"
done
DATABASE_URL=$url "$pacecar" cleanup install "$folder/plan.yaml" >/dev/null
for trigger in inserted updated deleted truncated; do sql "DROP TRIGGER pacecar_$trigger ON plain"; done
sql "INSERT INTO pacecar.lease (run, plan, digest, kind, claim, shared, kept, sweeping, expires)
     VALUES ('00000000000000aa', 'bench', '', 'run', '{}', '{}', false, false, now() + interval '1 day')"

script() { # NAME TABLE RUN
    printf "BEGIN;\nSELECT set_config('pacecar.run_id', '%s', true);\nINSERT INTO %s (note, n) VALUES ('x', 1);\nCOMMIT;\n" "$3" "$2" >"$folder/$1"
}
script none plain ''
script untagged recorded ''
script tagged recorded 00000000000000aa
# Of a table that nothing is recorded of.
sql "CREATE TABLE still (id int PRIMARY KEY, n int); CREATE TABLE watched (id int PRIMARY KEY, n int);
     INSERT INTO still SELECT n, 0 FROM generate_series(1, 1000) n; INSERT INTO watched SELECT n, 0 FROM generate_series(1, 1000) n"
DATABASE_URL=$url "$pacecar" cleanup install "$folder/plan.yaml" >/dev/null
for table in plain still; do
    for trigger in inserted updated deleted truncated; do sql "DROP TRIGGER IF EXISTS pacecar_$trigger ON $table"; done
done
printf '\\set id random(1, 1000)\nUPDATE still SET n = n + 1 WHERE id = :id;\n' >"$folder/update-none"
printf '\\set id random(1, 1000)\nUPDATE watched SET n = n + 1 WHERE id = :id;\n' >"$folder/update"
variants='none untagged tagged update-none update'
# What all ended backends of the server took, in ticks.
server=$(head -n 1 "$(sql 'SHOW data_directory')/postmaster.pid") tick=$(getconf CLK_TCK)
ticks() { awk '{ sub(/^.*\) /, ""); print $14 + $15 }' "/proc/$server/stat"; }
for round in $(seq "$rounds"); do
    for variant in $variants; do
        before=$(ticks)
        pgbench -n -M prepared -c 1 -t "$transactions" -f "$folder/$variant" "$url" >/dev/null 2>&1
        sleep 0.2 # until its backend has ended
        echo "$variant $(($(ticks) - before))" >>"$folder/figures"
    done
done
median() { awk -v v="$1" '$1 == v { print $2 }' "$folder/figures" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
for variant in $variants; do
    case $variant in update*) none=$(median update-none) ;; *) none=$(median none) ;; esac
    awk -v v="$variant" -v t="$(median "$variant")" -v n="$none" -v k="$transactions" -v hz="$tick" \
        'BEGIN { printf "%-12s %4.0f us of the server per transaction  %+5.1f %%\n", v, 1e6 * t / hz / k, 100 * (t / n - 1) }'
done
