# Sourced by MySQL's image once, when it initialises an empty volume. Creates the user of the
# processes that use the database, which cannot create, change or drop tables. Each migration grants
# its rights on tables (flask database grant).
docker_process_sql <<SQL
CREATE USER 'stocking_rows'@'%' IDENTIFIED BY '${MYSQL_ROWS_PASSWORD:?}';
GRANT USAGE ON ${MYSQL_DATABASE:?}.* TO '${MYSQL_USER:?}'@'%' WITH GRANT OPTION;
SQL
