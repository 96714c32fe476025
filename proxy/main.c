/* argv in, exit status out. */
#include <fcntl.h>
#include <unistd.h>

#include "proxy/cli.h"
#include "proxy/server.h"

/* Where stderr was given to us closed, the next descriptor opened would take its number, and what
 * is logged would go into a connection. */
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
    return cli_main(&env);
}
