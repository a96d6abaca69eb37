/* migrations: the files of migrations/, made into C by CMakeLists.txt, in the order of their numbers. Constant data. */
#ifndef COINSLOT_STORE_MIGRATIONS_H
#define COINSLOT_STORE_MIGRATIONS_H

struct migration {
    const char *name, *sql;
};

extern const struct migration MIGRATIONS[];
extern const int MIGRATION_COUNT; /* also the user_version that they end in */

#endif
