/* argv in, exit status out. */
#include <unistd.h>

#include "proxy/cli.h"
#include "proxy/server.h"

int main(int argc, char **argv)
{
    const struct cli_env env = {argc, argv, environ, stdout, stderr, server_main};
    return cli_main(&env);
}
