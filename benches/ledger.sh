#!/usr/bin/env bash
# What the ledger's triggers cost an insert: `benches/ledger.sh DATABASE_URL`, an empty database of its own.
#
# One transaction of one insert, one connection, each variant several times in turn, the median of
# transactions per second. Without triggers is the measure; a fast disk makes the shares larger.
set -euo pipefail
url=${1:?usage: benches/ledger.sh DATABASE_URL (an empty database)}
pacecar=${PACECAR:-target/release/pacecar}
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-4}
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
for round in $(seq "$rounds"); do
    for variant in none untagged tagged; do
        pgbench -n -M prepared -c 1 -T "$seconds" -f "$folder/$variant" "$url" 2>/dev/null |
            awk -v v="$variant" '/^tps/ { print v, $3 }' >>"$folder/figures"
    done
done
median() { awk -v v="$1" '$1 == v { print $2 }' "$folder/figures" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
none=$(median none)
for variant in none untagged tagged; do
    awk -v v="$variant" -v t="$(median "$variant")" -v n="$none" 'BEGIN { printf "%-9s %8.0f transactions/s  %+5.1f %% time\n", v, t, 100 * (n / t - 1) }'
done
