/* See option_form.h. */
#include "proxy/option_form.h"

#include "proxy/option_private.h"
#include "proxy/paths.h"

static bool is_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return !span_equal(text, SPAN("default"));
}

static bool is_header(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!option_is_field_char(text.at[i]))
            return false;
    }
    return true;
}

/* Commas and semicolons separate the parts of a class in a flag. The parser has removed the white
 * space around the values that it is compared with. */
static bool is_value(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c < ' ' || c > '~' || c == ',' || c == ';')
            return false;
    }
    return text.at[0] != ' ' && text.at[text.len - 1] != ' ';
}

static bool is_prefix(struct span text)
{
    return paths_is_valid(text) && memchr(text.at, ';', text.len) == NULL;
}

/* A header called Client is not what was meant. */
static bool is_fair(struct span text)
{
    return is_header(text) &&
           (span_equal(text, SPAN("client")) || !span_equal_nocase(text, SPAN("client")));
}

/* A name without a slash is more likely a mistake for "stdout" or "off" than a file. */
static bool is_file(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < ' ' || c == 0x7f)
            return false;
    }
    if (span_equal(text, SPAN("stdout")))
        return true;
    return memchr(text.at, '/', text.len) != NULL && text.at[text.len - 1] != '/';
}

bool option_form_is_method(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!option_is_field_char(text.at[i]) || (text.at[i] >= 'a' && text.at[i] <= 'z'))
            return false;
    }
    return text.len > 0;
}

#define TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]"

const struct option_form option_form_name = {
    .valid = is_name,
    .wants = "a name in the characters a-z, 0-9, \"_\" and \"-\", other than \"default\"",
    .example = "gold",
    .pattern = "^[0-9a-z_-]+$",
    .metavar = "NAME",
};

const struct option_form option_form_header = {
    .valid = is_header,
    .wants = "a header name",
    .example = "X-Priority",
    .pattern = "^" TOKEN "*$",
    .metavar = "NAME",
};

const struct option_form option_form_value = {
    .valid = is_value,
    .wants = "a header value in ASCII without \",\", \";\" and surrounding spaces",
    .example = "high",
    .pattern = "^([!-+.-:<-~]([ -+.-:<-~]*[!-+.-:<-~])?)?$",
    .metavar = "VALUE",
};

const struct option_form option_form_prefix = {
    .valid = is_prefix,
    .wants = "a path that begins with \"/\" and has no \"?\", \"#\", \",\", \";\" or space",
    .example = "/reports/",
    .pattern = "^(/[!\"$-+.-:<->@-~-]*)?$",
    .metavar = "PATH",
    .lead = "/",
};

const struct option_form option_form_fair = {
    .valid = is_fair,
    .wants = "\"client\" or a header name",
    .example = "client",
    .pattern = "^" TOKEN "*$",
    .metavar = "client|NAME",
};

const struct option_form option_form_file = {
    .valid = is_file,
    .wants = "\"stdout\" or a path that contains \"/\"",
    .example = "stdout",
    .pattern = "^(stdout|[^\\x00-\\x1f\\x7f]*/[^\\x00-\\x1f\\x7f]*[^\\x00-\\x1f\\x7f/])$",
    .metavar = "stdout|PATH",
    .lead = "./",
};
