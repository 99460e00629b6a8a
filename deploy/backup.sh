#!/usr/bin/env bash
# Back up the MySQL container of docker-compose.yml, and remove old backups.
#
#   deploy/backup.sh FOLDER [KEEP]    writes FOLDER/stocking-TIME.sql.gz; keeps the newest KEEP (14)
#
# The product's image has no dump program, so this runs the one of the MySQL container. The file
# gets its name only when it is complete. Only files with such a name are removed, and only after a
# successful backup.
set -euo pipefail
umask 077

fail() {
    printf 'backup.sh: %s\n' "$*" >&2
    exit 1
}

folder=${1:?"FOLDER is missing: deploy/backup.sh FOLDER [KEEP]"} keep=${2:-14}
[[ -d $folder ]] || fail "$folder is not a folder."
[[ $keep =~ ^[1-9][0-9]{0,3}$ ]] || fail "KEEP is '$keep': it must be a number from 1 to 9999."
folder=$(cd -- "$folder" && pwd -P)
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

file=$folder/stocking-$(date -u +%Y%m%dT%H%M%SZ).sql.gz
[[ ! -e $file ]] || fail "$file already exists."
part=$file.part
trap 'rm -f -- "$part"' EXIT

# shellcheck disable=SC2016 # the container's shell expands the password
docker compose exec -T mysql sh -c 'MYSQL_PWD="$MYSQL_PASSWORD" exec mysqldump \
    --single-transaction --no-tablespaces --set-gtid-purged=OFF --hex-blob \
    --default-character-set=utf8mb4 -u stocking stocking' | gzip >"$part" ||
    fail "The dump failed; no backup was written."

gzip --test "$part"
for line in '^CREATE TABLE `orders`' '^CREATE TABLE `transactions`' \
    '^INSERT INTO `alembic_version`' '^-- Dump completed'; do
    zgrep --quiet "$line" "$part" || fail "The dump has no line $line: no backup was written."
done
mv --no-clobber -- "$part" "$file"
printf '%s is complete.\n' "$file"

stamp='[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z'
find "$folder" -maxdepth 1 -type f -name "stocking-$stamp.sql.gz" | sort -r |
    tail -n "+$((keep + 1))" | while IFS= read -r old; do
    rm -- "$old"
    printf '%s was removed.\n' "$old"
done
