/*
 * The parser's rules, one row each: heads that must be accepted, with their reading, and heads that
 * must be refused, with their status. Every row is fed whole, byte by byte and split at every
 * place; all outcomes must be the same.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/http/parse.h"
#include "tests/unit/http/feed.h"

struct row {
    const char *why; /* section of RFC 9110, 9112, 3986, or the CVE */
    const char *bytes;
    size_t len;
    unsigned code;     /* 0: accepted, ROW_MORE: not yet */
    const char *reads; /* the first line of the outcome's text: what was read, or the reason */
};

#define ROW_MORE 999
#define YES(why, bytes, reads)                                                                     \
    {                                                                                              \
        why, bytes, sizeof(bytes) - 1, 0, reads                                                    \
    }
#define NO(code, why, bytes)                                                                       \
    {                                                                                              \
        why, bytes, sizeof(bytes) - 1, code, NULL                                                  \
    }
#define MORE(why, bytes)                                                                           \
    {                                                                                              \
        why, bytes, sizeof(bytes) - 1, ROW_MORE, NULL                                              \
    }
#define SAYS(code, reason, bytes)                                                                  \
    {                                                                                              \
        "the reason it gives", bytes, sizeof(bytes) - 1, code, reason                              \
    }
#define H                "Host: a\r\n"
#define GET(fields)      "GET / HTTP/1.1\r\n" H fields "\r\n"
#define POST(fields)     "POST / HTTP/1.1\r\n" H fields "\r\n"
#define LINE(line)       line "\r\n" H "\r\n"
#define HOST(value)      "GET / HTTP/1.1\r\nHost: " value "\r\n\r\n"
#define RESPONSE(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"

/* clang-format off */
static const struct row requests[] = {
    /* plain */
    YES("9112 2.1", GET(""), "GET / a"),
    YES("9112 2.1", GET("") "GET /next HTTP/1.1\r\n\r\n", "GET / a"),
    YES("9112 2.1", GET("A: b\r\nC: d\r\n"), "GET / a"),
    YES("9112 2.2", "\r\n" GET(""), "GET / a"),
    YES("9112 3.2.1", LINE("GET /where?q=now HTTP/1.1"), "GET /where?q=now a"),
    YES("9112 3.2.1", LINE("GET //x/../y HTTP/1.1"), "GET //x/../y a"),
    YES("9112 3.2.1", LINE("GET /%2e%00?%zz HTTP/1.1"), "GET /%2e%00?%zz a"),
    YES("9112 3.2.1", LINE("GET /\"<>\\^`{|}[] HTTP/1.1"), "GET /\"<>\\^`{|}[] a"),
    YES("9112 3.2.1", LINE("GET /?u=http://x@y/ HTTP/1.1"), "GET /?u=http://x@y/ a"),
    /* methods: RFC 9110 section 9.1 leaves the list open */
    YES("9110 9.3.2", LINE("HEAD / HTTP/1.1"), "HEAD / a"),
    YES("9110 9.3.3", LINE("POST / HTTP/1.1"), "POST / a"),
    YES("9110 9.3.4", LINE("PUT / HTTP/1.1"), "PUT / a"),
    YES("9110 9.3.5", LINE("DELETE / HTTP/1.1"), "DELETE / a"),
    YES("9110 9.3.8", LINE("TRACE / HTTP/1.1"), "TRACE / a"),
    YES("5789 2", LINE("PATCH / HTTP/1.1"), "PATCH / a"),
    YES("9110 9.1", LINE("QUUX / HTTP/1.1"), "QUUX / a"),
    YES("9110 9.1", LINE("M-SEARCH / HTTP/1.1"), "M-SEARCH / a"),
    YES("9110 9.1", LINE("get / HTTP/1.1"), "get / a"),
    YES("9110 9.1", LINE("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), "!#$%&'*+-.^_`|~09azAZ / a"),
    NO(400, "9110 9.1", LINE("G(T / HTTP/1.1")),
    NO(400, "9110 9.1", LINE("GET: / HTTP/1.1")),
    NO(400, "9110 9.1", LINE("G\"T / HTTP/1.1")),
    NO(400, "9110 9.1", LINE("G\xc3\x89T / HTTP/1.1")),
    NO(405, "9110 9.3.6", LINE("CONNECT b:80 HTTP/1.1")),
    NO(405, "9110 9.3.6", LINE("CONNECT / HTTP/1.1")),
    YES("9110 9.1", LINE("CONNECTS / HTTP/1.1"), "CONNECTS / a"),
    /* form of the request line */
    NO(400, "9112 3", LINE("GET  / HTTP/1.1")),
    NO(400, "9112 3", LINE("GET /  HTTP/1.1")),
    NO(400, "9112 3", LINE("GET / HTTP/1.1 ")),
    NO(400, "9112 3", LINE(" GET / HTTP/1.1")),
    NO(400, "9112 3", LINE("GET\t/ HTTP/1.1")),
    NO(400, "9112 3", LINE("GET /\tHTTP/1.1")),
    NO(400, "9112 3", LINE("GET / HTTP/1.1\t")),
    NO(400, "9112 3", LINE("GET /a b HTTP/1.1")),
    NO(400, "9112 3", LINE("GET HTTP/1.1")),
    NO(400, "9112 3", LINE("GET")),
    NO(400, "9112 3", LINE("GET ")),
    NO(400, "9112 3", LINE("GET /")),
    NO(400, "9112 3", LINE("GET / ")),
    NO(400, "9112 3", LINE("GET / HTTP/1.1x")),
    NO(400, "9112 3", LINE("GET / HTTP/1.1\v")),
    NO(400, "9112 2.2: one empty line, not two", "\r\n\r\n" GET("")),
    NO(400, "9112 2.2", "\n" GET("")),
    NO(400, "9112 2.2", "\r" GET("")),
    NO(400, "9112 2.2", "\r\n\n" GET("")),
    NO(400, "llhttp issue 877: a versionless line", "GET /\nA: b\r\n\r\n"),
    /* version */
    NO(505, "9110 15.6.6", LINE("GET / HTTP/2.0")),
    NO(505, "9110 15.6.6", LINE("GET / HTTP/1.2")),
    NO(505, "9110 15.6.6", LINE("GET / HTTP/1.9")),
    NO(505, "9110 15.6.6", LINE("GET / HTTP/0.9")),
    NO(505, "9110 15.6.6", LINE("GET / HTTP/3.1")),
    NO(505, "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    NO(400, "9112 2.3", LINE("GET / HTTP/1.10")),
    NO(400, "9112 2.3", LINE("GET / HTTP/11")),
    NO(400, "9112 2.3", LINE("GET / HTTP/2")),
    NO(400, "9112 2.3", LINE("GET / HTTP/1,1")),
    NO(400, "9112 2.3", LINE("GET / HTTP/ 1.1")),
    NO(400, "9112 2.3", LINE("GET / HTTP/1.x")),
    NO(400, "9112 2.3", LINE("GET / http/1.1")),
    NO(400, "9112 2.3", LINE("GET / HTTPS/1.1")),
    NO(400, "9112 2.3", LINE("GET / ICAP/1.0")),
    YES("9112 C.1", "GET / HTTP/1.0\r\n\r\n", "GET /  1.0"),
    YES("9112 C.1", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / a 1.0"),
    YES("9112 C.2.2", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /  1.0 keep-alive"),
    NO(400, "9112 3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    NO(400, "9112 3.2", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
    /* target */
    YES("9112 3.2.4", LINE("OPTIONS * HTTP/1.1"), "OPTIONS * a"),
    YES("9112 3.2.4", LINE("OPTIONS http://b:8001 HTTP/1.1"), "OPTIONS * b:8001"),
    YES("9112 3.2.4", LINE("OPTIONS http://b/ HTTP/1.1"), "OPTIONS / b"),
    NO(400, "9112 3.2.4", LINE("GET * HTTP/1.1")),
    NO(400, "9112 3.2.4", LINE("options * HTTP/1.1")),
    NO(400, "9112 3.2.4", LINE("OPTIONS ** HTTP/1.1")),
    NO(400, "9112 3.2.4", LINE("OPTIONS x HTTP/1.1")),
    YES("9112 3.2.2", LINE("GET http://b/x?y HTTP/1.1"), "GET /x?y b"),
    YES("9112 3.2.2", LINE("GET HTTP://b/x HTTP/1.1"), "GET /x b"),
    YES("9112 3.2.2", LINE("GET https://b:444/x HTTP/1.1"), "GET /x b:444"),
    YES("9112 3.2.2", LINE("GET http://b HTTP/1.1"), "GET / b"),
    YES("9112 3.2.2", LINE("GET http://b?q HTTP/1.1"), "GET ?q b"),
    YES("9112 3.2.2", LINE("GET http://[::1]:8/x HTTP/1.1"), "GET /x [::1]:8"),
    YES("9112 3.2.2", LINE("GET http://b//c@d HTTP/1.1"), "GET //c@d b"),
    YES("9112 3.2.2", "GET http://b/ HTTP/1.0\r\n\r\n", "GET / b 1.0"),
    NO(400, "9112 3.2.2", "GET http://b/ HTTP/1.1\r\n\r\n"),
    NO(400, "9112 3.2.2", LINE("GET http:///x HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET http://:80/ HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET http://b:x/ HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET http://b\\c/ HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET http://b,c/ HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET http:/b/ HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET http: HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET ftp://b/ HTTP/1.1")),
    NO(400, "9112 3.2.2", LINE("GET ws://b/ HTTP/1.1")),
    NO(400, "9110 4.2.4", LINE("GET http://u@b/ HTTP/1.1")),
    NO(400, "9110 4.2.4", LINE("GET http://u:p@b/ HTTP/1.1")),
    NO(400, "9110 4.2.4", LINE("GET http://@b/ HTTP/1.1")),
    NO(400, "9112 3.2.3", LINE("GET b:80 HTTP/1.1")),
    NO(400, "9112 3.2.3", LINE("GET b HTTP/1.1")),
    NO(400, "9112 3.2", LINE("GET ?q HTTP/1.1")),
    NO(400, "9112 3.2", LINE("GET /#f HTTP/1.1")),
    NO(400, "9112 3.2", LINE("GET #f HTTP/1.1")),
    NO(400, "9112 3.2", LINE("GET http://b/#f HTTP/1.1")),
    NO(400, "3986 2", LINE("GET /caf\xc3\xa9 HTTP/1.1")),
    NO(400, "3986 2", LINE("GET /\xff HTTP/1.1")),
    NO(400, "3986 2", LINE("GET /\x01 HTTP/1.1")),
    NO(400, "3986 2", LINE("GET /\x7f HTTP/1.1")),
    NO(400, "3986 2", LINE("GET /\0 HTTP/1.1")),
    /* Host */
    NO(400, "9112 3.2", "GET / HTTP/1.1\r\n\r\n"),
    NO(400, "9112 3.2", "GET / HTTP/1.1\r\nHosts: a\r\n\r\n"),
    NO(400, "9112 3.2", GET("Host: a\r\n")),
    NO(400, "9112 3.2", GET("hOST: b\r\n")),
    NO(400, "9110 4.2.1", HOST("")),
    NO(400, "9112 3.2", HOST("a, b")),
    NO(400, "9112 3.2", HOST("a,b")),
    NO(400, "9112 3.2", HOST("a b")),
    NO(400, "9112 3.2", HOST("u@a")),
    NO(400, "9112 3.2", HOST("a/b")),
    NO(400, "9112 3.2", HOST("http://a")),
    NO(400, "9112 3.2", HOST("a:b")),
    NO(400, "9112 3.2", HOST("a:70000")),
    NO(400, "9112 3.2", HOST("[::1")),
    NO(400, "9112 3.2", HOST("\xc3\xa9")),
    NO(400, "9112 3.2.2", "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
    YES("9110 7.2", HOST("[2001:db8::1]:80"), "GET / [2001:db8::1]:80"),
    YES("9110 7.2", HOST("\t a:80 \t"), "GET / a:80"),
    YES("9110 7.2", "GET / HTTP/1.1\r\nA: b\r\nhost:a\r\n\r\n", "GET / a"),
    /* Content-Length */
    YES("9112 6.2", POST("Content-Length: 5\r\n") "hello", "POST / a length=5"),
    YES("9112 6.2", GET("Content-Length: 5\r\n"), "GET / a length=5"),
    YES("9112 6.2", POST("content-length:0\r\n"), "POST / a length=0"),
    YES("9112 6.2", POST("Content-Length:\t5 \t\r\n"), "POST / a length=5"),
    YES("9112 6.2", POST("Content-Length: 0000000000000000005\r\n"), "POST / a length=5"),
    YES("9112 6.2", POST("Content-Length: 9223372036854775807\r\n"),
        "POST / a length=9223372036854775807"),
    NO(400, "9112 6.2", POST("Content-Length: 9223372036854775808\r\n")),
    NO(400, "9112 6.2", POST("Content-Length: 9999999999999999999\r\n")),
    NO(400, "9112 6.2", POST("Content-Length: 18446744073709551621\r\n")),
    NO(400, "9112 6.2", POST("Content-Length: 50000000000000000000\r\n")),
    NO(400, "9112 6.2", POST("Content-Length: 00000000000000000005\r\n")),
    NO(400, "9112 6.3", POST("Content-Length: 5\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.3", POST("Content-Length: 5\r\nContent-Length: 6\r\n")),
    NO(400, "9112 6.3", POST("Content-Length: 5, 5\r\n")),
    NO(400, "9112 6.3", POST("Content-Length: 5,\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: +5\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: -1\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: 0x5\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: 5h\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: 1 2\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: 5.0\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: 5;a\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: \"5\"\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: 1_0\r\n")),
    NO(400, "9110 8.6", POST("Content-Length: \xd9\xa5\r\n")),
    NO(400, "9110 8.6", POST("Content-Length:\r\n")),
    NO(400, "CVE-2019-16276", POST("Content-Length : 5\r\n")),
    NO(400, "CVE-2015-5739", POST("Content Length: 5\r\n")),
    NO(400, "9110 5.1", POST("Content-Length\0: 5\r\n")),
    /* Transfer-Encoding */
    YES("9112 6.1", POST("Transfer-Encoding: chunked\r\n"), "POST / a chunked"),
    YES("9112 7", POST("transfer-encoding:CHUNKED\r\n"), "POST / a chunked"),
    YES("9110 5.5", POST("Transfer-Encoding:\tchunked \t\r\n"), "POST / a chunked"),
    NO(400, "9112 6.1", POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: identity\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding:\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: CHUNKED\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding:\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
    NO(400, "CVE-2020-8287", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")),
    NO(400, "9112 6.1", POST("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n")),
    NO(400, "9112 7.1", POST("Transfer-Encoding: chunked, chunked\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: chunked, identity\r\n")),
    NO(501, "9112 6.1", POST("Transfer-Encoding: gzip, chunked\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: gzip, chunked, gzip\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: gzip, chunked, chunked\r\n")),
    NO(400, "9112 7", POST("Transfer-Encoding: gzip;q=1, chunked\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: chunked,\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: ,chunked\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: identity\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: gzip\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: DEFLATE\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: x-gzip\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: compress\r\n")),
    NO(400, "9112 6.3", POST("Transfer-Encoding: x-compress\r\n")),
    NO(400, "9112 7", POST("Transfer-Encoding: chunked;q=1\r\n")),
    NO(400, "9112 7", POST("Transfer-Encoding: \"chunked\"\r\n")),
    NO(400, "9112 7", POST("Transfer-Encoding: chun ked\r\n")),
    NO(400, "9112 7", POST("Transfer-Encoding: chunked\xa0\r\n")),
    NO(400, "CVE-2019-18277", POST("Transfer-Encoding: \vchunked\r\n")),
    NO(400, "CVE-2019-16869", POST("Transfer-Encoding : chunked\r\n")),
    NO(400, "9112 5.1", POST("Transfer-Encoding\t: chunked\r\n")),
    NO(501, "9112 6.1", POST("Transfer-Encoding: xchunked\r\n")),
    NO(501, "9112 6.1", POST("Transfer-Encoding: br\r\n")),
    NO(400, "9112 6.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    NO(400, "9112 6.1",
       "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    /* names that CGI and WSGI do not distinguish */
    NO(400, "3875 4.1.18", POST("Content_Length: 5\r\n")),
    NO(400, "3875 4.1.18", POST("transfer_encoding: chunked\r\n")),
    NO(400, "3875 4.1.18", POST("Content-Length: 5\r\nCONTENT_LENGTH: 6\r\n")),
    YES("3875 4.1.18", GET("X_Forwarded_For: x\r\n"), "GET / a"),
    YES("3875 4.1.18", GET("Some_Name: x\r\n"), "GET / a"),
    /* field lines */
    YES("9112 5", GET("A:\r\n"), "GET / a"),
    YES("9112 5", GET("A: \t \r\n"), "GET / a"),
    YES("9112 5", GET("A:b\r\nA:c\r\n"), "GET / a"),
    YES("9110 5.5", GET("A: \xc3\xa9\xff\x80\r\n"), "GET / a"),
    YES("9110 5.5", GET("A: b\tc  d\r\n"), "GET / a"),
    YES("9110 5.1", GET("!#$%&'*+-.^_`|~09azAZ: b\r\n"), "GET / a"),
    NO(400, "9112 5.1", GET("A : b\r\n")),
    NO(400, "9112 5.1", GET("A\t: b\r\n")),
    NO(400, "9112 2.2", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    NO(400, "9112 2.2", "GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n"),
    NO(400, "9112 5.2", GET("A: b\r\n c\r\n")),
    NO(400, "9112 5.2", GET("A: b\r\n\tc\r\n")),
    NO(400, "9112 5.2", GET("A: b\r\n \r\n")),
    NO(400, "9112 5.2", POST("Transfer-Encoding:\r\n chunked\r\n")),
    NO(400, "9112 5.2", POST("Transfer-Encoding:\r\n\tchunked\r\n")),
    NO(400, "9110 5.1", GET(": b\r\n")),
    NO(400, "9110 5.1", GET("A\r\n")),
    NO(400, "9110 5.1", GET("(x): b\r\n")),
    NO(400, "9110 5.1", GET("A b: c\r\n")),
    NO(400, "9110 5.1", GET("A\xc3\xa9: c\r\n")),
    NO(400, "9110 5.1", GET("A\0: c\r\n")),
    NO(400, "9110 5.1", GET("A\x7f: c\r\n")),
    NO(400, "9110 5.1", GET("A/b: c\r\n")),
    NO(400, "9110 5.1", GET("A,b: c\r\n")),
    NO(400, "9110 5.1", GET("GET / HTTP/1.1\r\n")),
    NO(400, "9110 5.5", GET("A: b\0c\r\n")),
    NO(400, "9110 5.5", GET("A: b\x01" "c\r\n")),
    NO(400, "9110 5.5", GET("A: b\x1b[0m\r\n")),
    NO(400, "9110 5.5", GET("A: b\x7f\r\n")),
    NO(400, "9110 5.5", GET("A: b\vc\r\n")),
    NO(400, "9110 5.5", GET("A: b\fc\r\n")),
    NO(400, "9112 2.2", GET("A: b\rc\r\n")),
    NO(400, "9112 2.2", GET("A: b\r\r\n")),
    NO(400, "9112 2.2", GET("A: b\nc: d\r\n")),
    NO(400, "9110 5.5: a control where CR should be", GET("A: b\x01\nc: d\r\n")),
    NO(400, "9110 5.5: NUL where CR should be", GET("A: b\0\nc: d\r\n")),
    NO(400, "3986 2: NUL where CR should be", "GET / HTTP/1.1\0\nHost: a\r\n\r\n"),
    NO(400, "CVE-2022-32214", GET("A: b\nContent-Length: 5\r\n")),
    NO(400, "CVE-2023-30589", GET("A: b\rTransfer-Encoding: chunked\r\n")),
    NO(400, "9112 2.2", "GET / HTTP/1.1\nHost: a\n\n"),
    NO(400, "9112 2.2", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    NO(400, "9112 2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    NO(400, "9112 2.2", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    NO(400, "9112 2.2", "GET / HTTP/1.1\r\nHost: a\r\n\rX"),
    NO(400, "9112 2.2", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    /* Connection, Upgrade, TE, Expect */
    YES("9112 9.6", GET("Connection: close\r\n"), "GET / a close"),
    YES("9112 9.3", GET("Connection: CLOSE, Keep-Alive\r\n"), "GET / a close keep-alive"),
    YES("9110 7.6.1", GET("Connection: x\r\nConnection: close\r\n"), "GET / a close"),
    YES("9110 5.6.1", GET("Connection: ,, close ,\r\n"), "GET / a close"),
    YES("9110 7.6.1", GET("Connection:\r\n"), "GET / a"),
    YES("9110 5.5", GET("Connection: \t \r\nA: close\r\n"), "GET / a"),
    YES("9110 5.1", GET("Xost: b\r\nAonnection: close\r\nZontent-Length: x\r\n"), "GET / a"),
    YES("9110 7.6.1", GET("Connection: closed\r\n"), "GET / a"),
    NO(400, "9110 7.6.1", GET("Connection: close;x\r\n")),
    NO(400, "9110 7.6.1", GET("Connection: close keep-alive\r\n")),
    NO(400, "9110 7.6.1", GET("Connection: \"close\"\r\n")),
    NO(400, "9110 7.6.1: each option is looked for",
       GET("Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n"
           "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a\r\n")),
    YES("9110 7.8", GET("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "GET / a upgrade"),
    YES("9110 7.8", GET("Upgrade: h2c\r\nConnection: HTTP2-Settings, upgrade\r\n"),
        "GET / a upgrade"),
    YES("9110 5.6.1.2", GET("Connection: ,Upgrade,\r\nUpgrade: , websocket,\r\n"),
        "GET / a upgrade"),
    YES("9110 7.8", GET("Upgrade: websocket\r\n"), "GET / a"),
    YES("9110 7.8", GET("Connection: Upgrade\r\n"), "GET / a"),
    YES("9110 10.1.4", GET("TE: trailers\r\nConnection: TE\r\n"), "GET / a trailers"),
    YES("9110 10.1.4", GET("TE: gzip;q=0.5, Trailers\r\n"), "GET / a trailers"),
    YES("9110 10.1.4", GET("TE: gzip\r\n"), "GET / a"),
    YES("9110 5.6.1.2", GET("TE: ,, trailers ,\r\n"), "GET / a trailers"),
    YES("9110 5.3", GET("TE:\r\nTE: trailers\r\n"), "GET / a trailers"),
    YES("9110 10.1.4", "GET / HTTP/1.0\r\nTE: trailers\r\n\r\n", "GET /  1.0"),
    YES("9110 10.1.4", GET("Keep-Alive: trailers\r\n"), "GET / a"),
    YES("9110 10.1.1", POST("Expect: 100-continue\r\nContent-Length: 5\r\n"),
        "POST / a length=5 expect"),
    YES("9110 10.1.1", POST("Expect: 100-Continue\r\n"), "POST / a expect"),
    NO(417, "9110 10.1.1", POST("Expect: 200-ok\r\n")),
    NO(417, "9110 10.1.1", POST("Expect: 100-continue, x\r\n")),
    NO(417, "9110 10.1.1", POST("Expect: 100-continue;q=1\r\n")),
    NO(417, "9110 10.1.1", POST("Expect: 100-continue\r\nExpect: x\r\n")),
    NO(417, "9110 10.1.1", POST("Expect: \"100-continue\"\r\n")),
    YES("9110 5.6.1.2: nothing is expected", POST("Expect:\r\n"), "POST / a"),
    YES("9110 5.6.1.2", POST("Expect: , \t,\r\n"), "POST / a"),
    YES("9110 5.6.1.2", POST("Expect: 100-continue,\r\n"), "POST / a expect"),
    YES("9110 5.6.1.2", POST("Expect: ,, 100-Continue\t, \r\n"), "POST / a expect"),
    YES("9110 5.6.1", POST("Expect: 100-continue, 100-continue\r\n"), "POST / a expect"),
    YES("9110 5.3", POST("Expect: 100-continue\r\nExpect: 100-continue\r\n"), "POST / a expect"),
    YES("9110 5.3", POST("Expect: 100-continue\r\nExpect:\r\n"), "POST / a expect"),
    YES("9110 10.1.1", "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "POST /  1.0"),
    YES("9110 10.1.1", "POST / HTTP/1.0\r\nExpect: x\r\n\r\n", "POST /  1.0"),
    /* other protocols, refused at once */
    NO(400, "8446 5.1: a TLS hello", "\x16\x03\x01\x02"),
    NO(400, "an SSLv2 hello", "\x80\x2e\x01"),
    NO(400, "RFC 4253: SSH", "SSH-2.0-x\r\n"),
    NO(400, "JSON", "{"),
    NO(400, "the proxy protocol, version 2", "\r\n\r\n\0\r\nQUIT\n"),
    NO(400, "the proxy protocol, version 1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1"),
    NO(400, "bare LF, seen before the end", "GET / HTTP/1.1\n"),
    NO(400, "NUL, seen before the end", "GET / HTTP/1.1\r\nA: \0"),
    NO(400, "bare CR, seen before the end", "GET / HTTP/1.1\r\nA: b\rc"),
    NO(400, "a bad target, seen at the line's end", "GET b HTTP/1.1\r\n"),
    NO(505, "a bad version, seen at the line's end", "GET / HTTP/4.0\r\n"),
    /* two reasons to refuse: the simpler one is given */
    SAYS(400, "white space at the start of a field line", GET(" A: b\r\n")),
    SAYS(400, "white space between a field's name and its colon", GET("A : b\r\n")),
    SAYS(400, "empty field name", GET(": b\r\n")),
    SAYS(400, "a field line that is not `name: value`", GET("A\r\n")),
    SAYS(400, "a field line that is not `name: value`", GET("A@b: c\r\n")),
    SAYS(400, "userinfo in the target", LINE("GET http://u@b/ HTTP/1.1")),
    SAYS(400, "a fragment in the target", LINE("GET /#f HTTP/1.1")),
    SAYS(400, "bare CR in the header section", GET("A: b\rc\r\n")),
    SAYS(400, "bare LF in the header section", GET("A: b\nc\r\n")),
    SAYS(400, "NUL in the header section", GET("A: b\0c\r\n")),
    SAYS(400, "an invalid byte in the header section", GET("A: b\x01\r\n")),
    /* not yet */
    MORE("9112 2.2", ""),
    MORE("9112 2.2", "\r"),
    MORE("9112 2.2", "\r\n"),
    MORE("9112 2.2", "\r\nG"),
    MORE("9112 3", "GET / HTTP/1.1"),
    MORE("9112 3", "GET / HTTP/1.1\r"),
    MORE("9112 3", "GET / HTTP/1.1\r\n"),
    MORE("9112 5", "GET / HTTP/1.1\r\nHost: a\r\n"),
    MORE("9112 5", "GET / HTTP/1.1\r\nHost: a\r\n\r"),
};

static const struct row responses[] = {
    YES("9112 4", RESPONSE(""), "200 OK"),
    YES("9112 4", RESPONSE("") "rest", "200 OK"),
    YES("9112 4", "HTTP/1.1 200 \r\n\r\n", "200 "),
    YES("9112 4: common, and clear", "HTTP/1.1 200\r\n\r\n", "200 "),
    YES("9112 4", "HTTP/1.1 404 Not  Found\t!\r\n\r\n", "404 Not  Found\t!"),
    YES("9112 4", "HTTP/1.1 200 \xc3\xa9\r\n\r\n", "200 \xc3\xa9"),
    YES("9112 4", "HTTP/1.1 599 x\r\n\r\n", "599 x"),
    YES("9110 15: no class is defined", "HTTP/1.1 600 x\r\n\r\n", "600 x"),
    YES("9110 15", "HTTP/1.1 999 x\r\nContent-Length: 5\r\n\r\n", "999 x length=5"),
    YES("9110 15.2.1", "HTTP/1.1 100 Continue\r\n\r\n" RESPONSE(""), "100 Continue"),
    YES("8297 2", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" RESPONSE(""), "103 Early Hints"),
    YES("9112 C.1", "HTTP/1.0 200 OK\r\n\r\n", "200 OK 1.0"),
    YES("9112 C.2.2", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
        "200 OK length=5 1.0 keep-alive"),
    YES("9112 9.6", RESPONSE("Connection: close\r\n"), "200 OK close"),
    YES("9112 6.2", RESPONSE("Content-Length: 5\r\n"), "200 OK length=5"),
    YES("9112 6.1", RESPONSE("Transfer-Encoding: Chunked\r\n"), "200 OK chunked"),
    YES("9110 8.6", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "204 No Content length=0"),
    YES("9110 8.6", "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", "100 Continue length=0"),
    YES("9110 15.4.5", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "304 Not Modified length=5"),
    YES("9112 6.1", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        "304 Not Modified chunked"),
    YES("9110 7.8", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "101 x upgrade"),
    YES("9110 7.2: Host means nothing here", RESPONSE("Host: a b\r\nHost: c\r\n"), "200 OK"),
    YES("9110 10.1.1: nor does Expect", RESPONSE("Expect: x\r\n"), "200 OK"),
    YES("9110 5.5", RESPONSE("A: \xff\r\n"), "200 OK"),
    YES("6265 3", RESPONSE("Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"), "200 OK"),
    /* status line */
    NO(502, "9112 4", "HTTP/1.1 099 x\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 000 x\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 2000 x\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 20 x\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 2x0 x\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 200OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 200\tOK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1  200 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 +20 OK\r\n\r\n"),
    NO(502, "9112 4: 10 in one digit", "HTTP/1.1 1:0 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 \r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1\t200 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/2.0 200 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.2 200 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.10 200 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/2 200\r\n\r\n"),
    NO(502, "9112 4", "http/1.1 200 OK\r\n\r\n"),
    NO(502, "9112 4", "ICY 200 OK\r\n\r\n"),
    NO(502, "9112 4", " HTTP/1.1 200 OK\r\n\r\n"),
    NO(502, "9112 2.2 is for requests", "\r\nHTTP/1.1 200 OK\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 200 O\x01K\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 200 O\0K\r\n\r\n"),
    NO(502, "9112 4", "HTTP/1.1 200 O\rK\r\n\r\n"),
    NO(502, "9112 2.2", "HTTP/1.1 200 OK\nA: b\n\n"),
    NO(502, "9112 2.2", "HTTP/1.1 200 OK\r\nA: b\n\r\n"),
    NO(502, "a body where a head should be", "<html>"),
    NO(502, "another protocol, seen at once", "SSH"),
    NO(502, "another protocol, seen at once", "HTTPS"),
    /* framing */
    NO(502, "9112 6.3", RESPONSE("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
    NO(502, "9112 6.3", RESPONSE("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length: 5\r\nContent-Length: 5\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length: 5\r\nContent-Length: 6\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length: 5, 5\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length: x\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length:\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length: -5\r\n")),
    NO(502, "9112 6.3", RESPONSE("Content-Length: 18446744073709551621\r\n")),
    NO(502, "9112 6.1", RESPONSE("Transfer-Encoding: gzip, chunked\r\n")),
    NO(502, "9112 6.1", RESPONSE("Transfer-Encoding: xchunked\r\n")),
    NO(502, "9112 6.1", RESPONSE("Transfer-Encoding: identity\r\n")),
    NO(502, "9112 6.1", RESPONSE("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
    NO(502, "9112 6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    NO(502, "9112 6.1", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
    NO(502, "9112 6.1", "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
    NO(502, "9112 6.1", "HTTP/1.1 101 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
    NO(502, "9112 6.1", "HTTP/1.1 304 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    NO(502, "3875 4.1.18", RESPONSE("Content_Length: 5\r\n")),
    /* field lines */
    NO(502, "9112 5.1", RESPONSE("A : b\r\n")),
    NO(502, "9112 5.2", RESPONSE("A: b\r\n c\r\n")),
    NO(502, "9112 5.2", RESPONSE(" A: b\r\n")),
    NO(502, "9110 5.1", RESPONSE(": b\r\n")),
    NO(502, "9110 5.1", RESPONSE("A\r\n")),
    NO(502, "9110 5.5", RESPONSE("A: \0\r\n")),
    NO(502, "9112 2.2", RESPONSE("A: b\rSet-Cookie: c\r\n")),
    NO(502, "9110 7.6.1", RESPONSE("Connection: a b\r\n")),
    /* not yet */
    MORE("9112 4", ""),
    MORE("9112 4", "H"),
    MORE("9112 4", "HTTP/1.1 200 OK\r"),
    MORE("9112 4", "HTTP/1.1 200 OK\r\n"),
    MORE("9112 5", "HTTP/1.1 200 OK\r\nA: b\r\n\r"),
};
/* clang-format on */

static const struct feed request_feed = {.limits = &feed_limits,
                                         .request_id_name = {"X-Request-Id", 12}};
static const struct feed response_feed = {.response = true, .limits = &feed_limits};

static void check_same(const struct row *row, const struct outcome *a, const struct outcome *b,
                       const char *how)
{
    if (!outcome_equal(a, b))
        fail_msg("%s: %.*s\nwhole: %d %u %s\n%s: %d %u %s", row->why, (int)row->len, row->bytes,
                 (int)a->status, a->code, a->text, how, (int)b->status, b->code, b->text);
}

static void check_answer(const struct row *row, const struct outcome *o)
{
    char first[FEED_TEXT];
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(o->text, "\n"), o->text);
    unsigned code = o->status == HTTP_PARSE_MORE ? ROW_MORE : o->code;
    if (code != row->code || (row->reads != NULL && strcmp(first, row->reads) != 0))
        fail_msg("%s: %.*s\nwanted %u %s, got %u %s", row->why, (int)row->len, row->bytes,
                 row->code, row->reads != NULL ? row->reads : "", code, first);
}

static void check_row(const struct feed *feed, const struct row *row)
{
    static struct outcome whole, other;
    feed_whole(feed, row->bytes, row->len, &whole);
    check_answer(row, &whole);
    feed_bytewise(feed, row->bytes, row->len, &other);
    check_same(row, &whole, &other, "byte by byte");
    for (size_t cut = 0; cut < row->len; cut++) {
        feed_cut(feed, row->bytes, row->len, &cut, 1, &other);
        check_same(row, &whole, &other, "cut in two");
    }
}

static void every_request_row_has_one_outcome_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        check_row(&request_feed, &requests[i]);
}

static void every_response_row_has_one_outcome_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++)
        check_row(&response_feed, &responses[i]);
}

/* ---- limits ---- */

/* Builds "GET /aaa... HTTP/1.1" with `fields` fields, `len` bytes in all. */
static char *long_request(size_t target_len, unsigned fields, size_t *len)
{
    char *bytes = malloc(target_len + fields * 6 + 64);
    assert_non_null(bytes);
    size_t n = (size_t)snprintf(bytes, 32, "GET /");
    memset(bytes + n, 'a', target_len - 1);
    n += target_len - 1;
    n += (size_t)snprintf(bytes + n, 32, " HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 1; i < fields; i++)
        n += (size_t)snprintf(bytes + n, 32, "A: b\r\n");
    *len = n + (size_t)snprintf(bytes + n, 32, "\r\n");
    return bytes;
}

static void check_limits(size_t target_len, unsigned fields, uint32_t max_head, uint32_t max_fields,
                         unsigned code)
{
    const struct http_limits limits = {.max_head = max_head, .max_fields = max_fields};
    const struct feed feed = {.limits = &limits};
    size_t len;
    char *bytes = long_request(target_len, fields, &len);
    struct row row = {"limits", bytes, len, code, NULL};
    check_row(&feed, &row);
    free(bytes);
}

static void a_head_of_just_the_limit_passes_and_one_more_byte_is_431(void **state)
{
    (void)state;
    /* 4 + target + 11 + 9 + 2 */
    check_limits(74, 1, 100, 10, 0);
    check_limits(75, 1, 100, 10, 431);
}

static void a_request_line_beyond_the_limit_is_414(void **state)
{
    (void)state;
    check_limits(84, 1, 100, 10, 431); /* its CRLF is at byte 99: the line fits */
    check_limits(85, 1, 100, 10, 431);
    check_limits(86, 1, 100, 10, 414);
    check_limits(500, 1, 100, 10, 414);
}

static void too_many_fields_are_431(void **state)
{
    (void)state;
    check_limits(1, 10, 4096, 10, 0);
    check_limits(1, 11, 4096, 10, 431);
    check_limits(1, 256, 4096, HTTP_FIELDS_MAX, 0);
    check_limits(1, 257, 4096, HTTP_FIELDS_MAX, 431);
}

static void an_empty_line_before_the_request_does_not_count_against_its_limit(void **state)
{
    const struct http_limits limits = {.max_head = 27, .max_fields = 1};
    const struct feed feed = {.limits = &limits};
    const struct row row = YES("9112 2.2", "\r\n" GET(""), "GET / a");
    (void)state;
    check_row(&feed, &row);
}

static void what_is_too_long_is_refused_before_its_end_comes(void **state)
{
    const struct http_limits limits = {.max_head = 20, .max_fields = 10};
    const struct feed feed = {.limits = &limits};
    const struct feed limited_response = {.response = true, .limits = &limits};
    const struct row rows[] = {NO(414, "9112 3", "GET /aaaaaaaaaaaaaaa"),
                               NO(431, "6585 5", "GET / HTTP/1.1\r\nA: b"),
                               MORE("9112 3", "GET /aaaaaaaaaaaaaa")};
    const struct row response = NO(502, "9112 4", "HTTP/1.1 200 aaaaaaa");
    (void)state;
    for (size_t i = 0; i < 3; i++)
        check_row(&feed, &rows[i]);
    check_row(&limited_response, &response);
}

/* ---- fields ---- */

static void parse_one(const char *bytes, struct span id_name, struct http_head *head)
{
    struct http_parser p = {0};
    struct http_problem problem = {0};
    assert_int_equal(
        http_parse_request(&p, bytes, strlen(bytes), &feed_limits, id_name, head, &problem),
        HTTP_PARSE_DONE);
}

static void fields_keep_their_bytes_and_know_their_ids(void **state)
{
    static struct http_head h;
    const char *bytes = GET("X-Request-Id:  7 \r\nx_request_id: 8\r\nX_Forwarded_For: 9\r\n"
                            "X-Trace: 1\r\nX_Y: 2\r\n");
    (void)state;
    parse_one(bytes, SPAN("x-request-id"), &h);
    assert_int_equal(h.n_fields, 6);
    assert_int_equal(h.fields[0].id, HTTP_FIELD_HOST);
    assert_int_equal(h.fields[1].id, HTTP_FIELD_X_REQUEST_ID);
    assert_true(span_equal(h.fields[1].value, SPAN("7")));
    assert_true(span_equal(h.fields[1].name, SPAN("X-Request-Id")));
    assert_true(span_equal(h.fields[1].line, SPAN("X-Request-Id:  7 \r\n")));
    assert_int_equal(h.fields[2].id, HTTP_FIELD_ALIAS);
    assert_int_equal(h.fields[3].id, HTTP_FIELD_ALIAS);
    assert_int_equal(h.fields[4].id, HTTP_FIELD_OTHER);
    assert_int_equal(h.fields[5].id, HTTP_FIELD_UNDERSCORE);
    parse_one(bytes, SPAN("X-Trace"), &h);
    assert_int_equal(h.fields[1].id, HTTP_FIELD_OTHER);
    assert_int_equal(h.fields[4].id, HTTP_FIELD_X_REQUEST_ID);
    parse_one(bytes, SPAN("Host"), &h);
    assert_int_equal(h.fields[0].id, HTTP_FIELD_HOST);
    parse_one(bytes, SPAN("X_Y"), &h);
    assert_int_equal(h.fields[5].id, HTTP_FIELD_X_REQUEST_ID);
    parse_one(bytes, (struct span){NULL, 0}, &h);
    assert_int_equal(h.fields[1].id, HTTP_FIELD_OTHER);
}

/* Each alone at the end of a head, where few bytes follow, and before many. */
static void names_with_an_underscore_are_told_from_all_others(void **state)
{
    static const struct {
        const char *name;
        enum http_field_id id;
    } rows[] = {
        {"_", HTTP_FIELD_UNDERSCORE},
        {"SCRIPT_NAME", HTTP_FIELD_UNDERSCORE},
        {"x_", HTTP_FIELD_UNDERSCORE},
        {"A-Name-Of-More-Than_16", HTTP_FIELD_UNDERSCORE},
        {"a!b_c", HTTP_FIELD_UNDERSCORE},
        {"X_Real-IP", HTTP_FIELD_ALIAS},
        {"X_Forwarded_Any", HTTP_FIELD_ALIAS},
        {"Keep_Alive", HTTP_FIELD_ALIAS},
        {"grpc_timeout", HTTP_FIELD_UNDERSCORE},
        {"Request_Timeout", HTTP_FIELD_UNDERSCORE},
        {"X_Queue_Start", HTTP_FIELD_UNDERSCORE},
        {"X_Request_Start", HTTP_FIELD_ALIAS},
        {"Request-Timeout", HTTP_FIELD_DEADLINE},
        {"a!b", HTTP_FIELD_OTHER},
        {"Script-Name", HTTP_FIELD_OTHER},
        {"X-Forwarded-", HTTP_FIELD_FORWARDED_OTHER},
        {"X-Forwarded", HTTP_FIELD_OTHER},
        {"X-Real-I", HTTP_FIELD_OTHER},
        {"x-real-ip", HTTP_FIELD_FORWARDED_OTHER},
        {"X-Forwarded-A", HTTP_FIELD_FORWARDED_OTHER},
        {"X-Forwarded-Port", HTTP_FIELD_FORWARDED_OTHER},
        {"Daphne-Root-Path", HTTP_FIELD_FORWARDED_OTHER},
        {"x-forwarded-SSL", HTTP_FIELD_FORWARDED_SCHEME},
        {"X-Forwarded-Scheme", HTTP_FIELD_FORWARDED_SCHEME},
        {"X-Forwarded-Protocol", HTTP_FIELD_FORWARDED_SCHEME},
        {"X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO},
    };
    static struct http_head h;
    char bytes[256];
    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *more = i % 2 == 0 ? "" : "Another: of more bytes than a vector holds\r\n";
        (void)snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\n%s:\r\n%s\r\n",
                       rows[i / 2].name, more);
        parse_one(bytes, SPAN("X-Request-Id"), &h);
        if (h.fields[1].id != rows[i / 2].id)
            fail_msg("%s is of id %d", rows[i / 2].name, (int)h.fields[1].id);
    }
}

/* Clients do not fold names, so these are ordinary fields; except framing fields, which are
 * refused. */
static void names_of_responses_are_what_they_are(void **state)
{
    static const char bytes[] = "HTTP/1.1 200 OK\r\nKeep_Alive: x\r\nSome_Name: y\r\n\r\n";
    static struct http_head h;
    struct http_parser p = {0};
    struct http_problem problem = {0};
    (void)state;
    assert_int_equal(http_parse_response(&p, bytes, sizeof bytes - 1, &feed_limits, &h, &problem),
                     HTTP_PARSE_DONE);
    assert_int_equal(h.fields[0].id, HTTP_FIELD_OTHER);
    assert_int_equal(h.fields[1].id, HTTP_FIELD_OTHER);
}

static void methods_have_their_names(void **state)
{
    static struct http_head h;
    static const char *const names[] = {
        [HTTP_OTHER] = "FOO",   [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",
        [HTTP_POST] = "POST",   [HTTP_PUT] = "PUT",         [HTTP_DELETE] = "DELETE",
        [HTTP_PATCH] = "PATCH", [HTTP_OPTIONS] = "OPTIONS", [HTTP_TRACE] = "TRACE",
    };
    (void)state;
    for (unsigned m = 0; m < sizeof names / sizeof *names; m++) {
        char bytes[64];
        if (names[m] == NULL)
            continue;
        (void)snprintf(bytes, sizeof bytes, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", names[m]);
        parse_one(bytes, SPAN(""), &h);
        assert_int_equal(h.method, m);
    }
}

static void pipelined_requests_are_read_one_by_one(void **state)
{
    static struct http_head h;
    const char *bytes = GET("A: b\r\n") LINE("GET /2 HTTP/1.1");
    struct http_parser p = {0};
    struct http_problem problem;
    size_t len = strlen(bytes);
    (void)state;
    assert_int_equal(http_parse_request(&p, bytes, len, &feed_limits, SPAN(""), &h, &problem),
                     HTTP_PARSE_DONE);
    size_t first = h.whole.len;
    assert_int_equal(
        http_parse_request(&p, bytes + first, len - first, &feed_limits, SPAN(""), &h, &problem),
        HTTP_PARSE_DONE);
    assert_true(span_equal(h.path, SPAN("/2")));
    assert_int_equal(first + h.whole.len, len);
}

static void an_idle_parser_is_eight_bytes(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct http_parser), 8);
}

static void a_head_that_comes_byte_by_byte_is_looked_at_once(void **state)
{
    static struct http_head h;
    struct http_parser p = {0};
    struct http_problem problem;
    size_t len;
    char *bytes = long_request(2000, 50, &len);
    (void)state;
    for (size_t n = 1; n < len; n++) {
        assert_int_equal(http_parse_request(&p, bytes, n, &feed_limits, SPAN(""), &h, &problem),
                         HTTP_PARSE_MORE);
        assert_true(p.seen + 1 >= n); /* except for a CR that waits for its LF */
    }
    free(bytes);
}

/* ---- memory ---- */

static void no_byte_behind_the_buffer_is_read(void **state)
{
    static struct http_head h;
    static const char bytes[] = GET("Content-Length: 5\r\nX-Some-Name: some longer value here\r\n");
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct http_problem problem;
    (void)state;
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    for (size_t len = 0; len < sizeof bytes; len++) {
        struct http_parser p = {0};
        char *at = map + page - len;
        memcpy(at, bytes, len);
        enum http_parse_status want = len == sizeof bytes - 1 ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
        assert_int_equal(http_parse_request(&p, at, len, &feed_limits, SPAN(""), &h, &problem),
                         want);
    }
    munmap(map, 2 * page);
}

/* ---- random tests ---- */

#define MUTANT_MAX 512

/* A random byte, mostly one with a meaning to the parser. */
static char likely_byte(void)
{
    static const char bytes[] = "\r\n\r\n :,;_-\t\0/*@#?[]%019aZ\x7f\x80\xff";
    return feed_below(4) == 0 ? (char)feed_random() : bytes[feed_below(sizeof bytes - 1)];
}

static size_t mutate(const struct row *row, char *out)
{
    size_t len = row->len < MUTANT_MAX - 8 ? row->len : MUTANT_MAX - 8;
    memcpy(out, row->bytes, len);
    for (size_t i = feed_below(4); i > 0 && len > 0; i--) {
        size_t at = feed_below(len);
        size_t what = feed_below(3);
        if (what == 0) {
            out[at] = likely_byte();
        } else if (what == 1) {
            memmove(out + at, out + at + 1, --len - at);
        } else {
            memmove(out + at + 1, out + at, len++ - at);
            out[at] = likely_byte();
        }
    }
    return len;
}

static size_t random_cuts(size_t len, size_t *cuts)
{
    size_t n = 0;
    for (size_t at = 0; n < 8 && at < len; n++)
        cuts[n] = at += feed_below(len - at + 1);
    return n;
}

static void check_mutants(const struct feed *feed, const struct row *rows, size_t n_rows)
{
    static struct outcome whole, other;
    char bytes[MUTANT_MAX];
    for (int round = 0; round < 30000; round++) {
        struct row mutant = rows[feed_below(n_rows)];
        size_t cuts[8];
        mutant.len = mutate(&mutant, bytes);
        mutant.bytes = bytes;
        feed_whole(feed, bytes, mutant.len, &whole);
        size_t n_cuts = random_cuts(mutant.len, cuts);
        feed_cut(feed, bytes, mutant.len, cuts, n_cuts, &other);
        check_same(&mutant, &whole, &other, "cut");
    }
}

static void mutants_have_one_outcome_however_they_are_cut(void **state)
{
    (void)state;
    feed_seed();
    check_mutants(&request_feed, requests, sizeof requests / sizeof *requests);
    check_mutants(&response_feed, responses, sizeof responses / sizeof *responses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_row_has_one_outcome_however_it_is_cut),
        cmocka_unit_test(every_response_row_has_one_outcome_however_it_is_cut),
        cmocka_unit_test(a_head_of_just_the_limit_passes_and_one_more_byte_is_431),
        cmocka_unit_test(a_request_line_beyond_the_limit_is_414),
        cmocka_unit_test(too_many_fields_are_431),
        cmocka_unit_test(an_empty_line_before_the_request_does_not_count_against_its_limit),
        cmocka_unit_test(what_is_too_long_is_refused_before_its_end_comes),
        cmocka_unit_test(fields_keep_their_bytes_and_know_their_ids),
        cmocka_unit_test(names_with_an_underscore_are_told_from_all_others),
        cmocka_unit_test(names_of_responses_are_what_they_are),
        cmocka_unit_test(methods_have_their_names),
        cmocka_unit_test(pipelined_requests_are_read_one_by_one),
        cmocka_unit_test(an_idle_parser_is_eight_bytes),
        cmocka_unit_test(a_head_that_comes_byte_by_byte_is_looked_at_once),
        cmocka_unit_test(no_byte_behind_the_buffer_is_read),
        cmocka_unit_test(mutants_have_one_outcome_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
