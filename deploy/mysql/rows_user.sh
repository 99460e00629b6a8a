# Sourced by MySQL's image when it lays out an empty volume, and never again: the user of the processes that work with rows, who can make,
# change and drop no table. What he may do with each table the owner of the tables grants him, with every migration (flask database grant).
docker_process_sql <<SQL
CREATE USER 'stocking_rows'@'%' IDENTIFIED BY '${MYSQL_ROWS_PASSWORD:?}';
GRANT USAGE ON ${MYSQL_DATABASE:?}.* TO '${MYSQL_USER:?}'@'%' WITH GRANT OPTION;
SQL
