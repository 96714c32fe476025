/* Calls cli_main() with the process's arguments; returns the exit status. */
#include <fcntl.h>
#include <unistd.h>

#include "common/inherited.h"
#include "proxy/cli.h"
#include "proxy/server.h"

/* If stderr was closed when weir was started, the next descriptor would take its number, and log
 * lines would be written into a connection. */
static void fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    const struct cli_env env = {argc, argv, environ, stdout, stderr, server_main};

    fill_standard_descriptors();
    inherited_init();
    return cli_main(&env);
}
