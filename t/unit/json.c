
/*
 * The JSON scanner: which documents it takes, and which it refuses.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "tap.h"
#include "json_valid.h"


#define is_valid(s)    is_i64(valid(s, sizeof(s) - 1), 1, "taken: %s", s)
#define is_invalid(s)  is_i64(valid(s, sizeof(s) - 1), 0, "refused: %s", s)


static void
check_valid(void)
{
    is_valid("{}");
    is_valid("[]");
    is_valid(" \t\r\n[ \t\r\n] \t\r\n");
    is_valid("{ }");
    is_valid("\"\"");
    is_valid("true");
    is_valid("false");
    is_valid("null");
    is_valid("0");
    is_valid("-0");
    is_valid("42");
    is_valid(" 42 ");
    is_valid("-0.0");
    is_valid("0e1");
    is_valid("0e+1");
    is_valid("1E22");
    is_valid("1e-2");
    is_valid("1E+2");
    is_valid("123.456e78");
    is_valid("[-1.5E-0]");
    is_valid("1e99999");
    is_valid("-123123e100000");
    is_valid("0.000000000000000000000000000000000000000000000000000000000001");
    is_valid("123456789012345678901234567890123456789012345678901234567890");
    is_valid("[1,2]");
    is_valid("[1 , 2]");
    is_valid("[null,1,1,1,2]");
    is_valid("[[]   ]");
    is_valid("[\"\"]");
    is_valid("[[],[[]],{}]");
    is_valid("{\"a\":1}");
    is_valid("{\"\":0}");
    is_valid("{\"a\" : 1 , \"b\" : [ ] }");
    is_valid("{\"a\":{\"b\":{\"c\":[{\"d\":null}]}},\"e\":1}");
    is_valid("{\"a\":1,\"a\":2}");
    is_valid("{\"a\":[]}");
    is_valid("{\n\"a\": 1\n}");
    is_valid("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]");
    is_valid("[\"\\u0060\\u012a\\u12AB\\uaBcD\"]");
    is_valid("\"\\u0000\"");
    is_valid("\"\\u0022\\u005C\"");
    is_valid("[\"\\uD801\\udc37\"]");
    is_valid("[\"\\uD83d\\uDe39\\uD83D\\uDE00\"]");
    is_valid("\"\\uDBFF\\uDFFF\"");
    is_valid("\"\\\\u0000\"");
    is_valid("\"\\\\ud800\"");
    is_valid("\"a/*b*/c\"");
    is_valid("[\"\x7f\"]");
    is_valid("[\" \"]");
    is_valid("\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\"");
    is_valid("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
    is_valid("\"\xe2\x80\xa8\xe2\x80\xa9\"");
    is_valid("{\"\xe2\x82\xac\xf0\x9d\x84\x9e\":\"\xcf\x80\"}");
    is_valid("\"\xef\xbb\xbf\"");
    is_valid("[\"\\uFDD0\\uFFFE\\uFFFF\"]");
    is_valid("[\"new\\u000Aline\"]");
}


static void
check_structure(void)
{
    is_invalid("");
    is_invalid(" ");
    is_invalid("[");
    is_invalid("]");
    is_invalid("{");
    is_invalid("}");
    is_invalid("[1 true]");
    is_invalid("[a]");
    is_invalid("[1:2]");
    is_invalid("[1,]");
    is_invalid("[1,,2]");
    is_invalid("[,1]");
    is_invalid("[,]");
    is_invalid("[,");
    is_invalid("[\"\",]");
    is_invalid("[1]]");
    is_invalid("[1");
    is_invalid("[1,");
    is_invalid("[1,\n1\n,1");
    is_invalid("[3[4]]");
    is_invalid("[1}");
    is_invalid("[[1]}");
    is_invalid("[1{\"a\":2}");
    is_invalid("{\"a\":1]");
    is_invalid("{]");
    is_invalid("[}");
    is_invalid("[][]");
    is_invalid("{}{}");
    is_invalid("{} a");
    is_invalid("1 2");
    is_invalid("\"a\" \"b\"");
    is_invalid("{,}");
    is_invalid("{\"a\"}");
    is_invalid("{\"a\":}");
    is_invalid("{\"a\" 1}");
    is_invalid("{\"a\"::1}");
    is_invalid("{\"a\",1}");
    is_invalid("{\"a\":1,}");
    is_invalid("{\"a\":1,,\"b\":2}");
    is_invalid("{\"a\":1 \"b\":2}");
    is_invalid("{\"a\":1:2}");
    is_invalid("{\"a\":1,1}");
    is_invalid("{1:1}");
    is_invalid("{a:1}");
    is_invalid("{'a':1}");
    is_invalid("{a\":1}");
    is_invalid("{'a\":1}");
    is_invalid("{null:1}");
    is_invalid("{[]:1}");
    is_invalid("{:1}");
    is_invalid("{\"a\"");
    is_invalid("{\"a\":");
    is_invalid("{\"a\":1");
    is_invalid("{\"a\":1,");
    is_invalid("{\"a\":1,\"b\"");
    is_invalid("{\"a\": true} \"x\"");
    is_invalid("{\"a\":\"b\"}/**/");
    is_invalid("[/* */]");
    is_invalid("[1] // one");
    is_invalid("{\"a\":/*c*/1}");
    is_invalid("#{}");
    is_invalid("<null>");
    is_invalid("*");
    is_invalid("[*]");
    is_invalid("{{\"a\":1}}");
    is_invalid("(1)");
    is_invalid("[\f]");
    is_invalid("[\v]");
    is_invalid("[1\xa0]");
    is_invalid("\xef\xbb\xbf{}");
    is_invalid("\xef\xbb\xbf");
    is_invalid("\xe2\x81\xa0[]");
    is_invalid("[\xe2\x81\xa0]");
    is_invalid("[\xc3\xa5]");
    is_invalid("\xff\xfe[\0]\0");
    is_invalid("\0[\0]");
    is_invalid("[1]\0");
    is_invalid("\0");
    is_invalid("[\0]");
    is_invalid("\\u005b1]");
}


static void
check_scalars(void)
{
    is_invalid("tru");
    is_invalid("tRue");
    is_invalid("True");
    is_invalid("TRUE");
    is_invalid("truth");
    is_invalid("truee");
    is_invalid("fals");
    is_invalid("falsy");
    is_invalid("nul");
    is_invalid("nulll");
    is_invalid("nan");
    is_invalid("NaN");
    is_invalid("-NaN");
    is_invalid("Infinity");
    is_invalid("-Infinity");
    is_invalid("Inf");
    is_invalid("undefined");
    is_invalid("[true,fals]");
    is_invalid("[truefalse]");

    is_invalid("-");
    is_invalid("--1");
    is_invalid("-a");
    is_invalid("- 1");
    is_invalid("+1");
    is_invalid("++1");
    is_invalid("00");
    is_invalid("01");
    is_invalid("-01");
    is_invalid("-012");
    is_invalid("012");
    is_invalid(".1");
    is_invalid("-.1");
    is_invalid("1.");
    is_invalid("-1.");
    is_invalid("0.");
    is_invalid("1.e1");
    is_invalid("0.e1");
    is_invalid(".e1");
    is_invalid("1.a");
    is_invalid("1e");
    is_invalid("1E");
    is_invalid("1e+");
    is_invalid("1e-");
    is_invalid("1e+-1");
    is_invalid("1e1.5");
    is_invalid("1e1e1");
    is_invalid("0e");
    is_invalid("0e+");
    is_invalid("0.3e");
    is_invalid("0.3e+");
    is_invalid("1.0e");
    is_invalid("1.2.3");
    is_invalid("1+2");
    is_invalid("1-2");
    is_invalid("1 000");
    is_invalid("1_000");
    is_invalid("0x42");
    is_invalid("1f");
    is_invalid("[1.]");
    is_invalid("[-]");
    is_invalid("[1e]");
    is_invalid("[-2.]");
    is_invalid("[2.e3]");
    is_invalid("[0E+]");
    is_invalid("[1ea]");
    is_invalid("[-1x]");
    is_invalid("\xef\xbc\x91");
}


static void
check_strings(void)
{
    is_invalid("\"");
    is_invalid("\"a");
    is_invalid("a\"");
    is_invalid("'a'");
    is_invalid("\"a\"b\"");
    is_invalid("\"\\");
    is_invalid("\"\\\"");
    is_invalid("\"\\\\\\\"");
    is_invalid("\"\\a\"");
    is_invalid("\"\\v\"");
    is_invalid("\"\\0\"");
    is_invalid("\"\\'\"");
    is_invalid("\"\\x41\"");
    is_invalid("\"\\U0041\"");
    is_invalid("\"\\ \"");
    is_invalid("\"\\\n\"");
    is_invalid("\"\\\0\"");
    is_invalid("\"\\\xc3\xa9\"");
    is_invalid("\"\\u\"");
    is_invalid("\"\\u0\"");
    is_invalid("\"\\u00\"");
    is_invalid("\"\\u00A\"");
    is_invalid("\"\\u00G0\"");
    is_invalid("\"\\u 041\"");
    is_invalid("\"\\u+041\"");
    is_invalid("\"\\u-041\"");
    is_invalid("\"\\u0x41\"");
    is_invalid("\"\\u\xef\xbc\x90" "000\"");
    is_invalid("\"\\ud800\"");
    is_invalid("\"\\udbff\"");
    is_invalid("\"\\udc00\"");
    is_invalid("\"\\udfff\"");
    is_invalid("\"\\ud800x\"");
    is_invalid("\"\\ud800\\n\"");
    is_invalid("\"\\ud800\\u\"");
    is_invalid("\"\\ud800\\u0041\"");
    is_invalid("\"\\ud800\\ud800\"");
    is_invalid("\"\\ud800\\ue000\"");
    is_invalid("\"\\ud800\\udbff\"");
    is_invalid("\"\\ud834\\udd\"");
    is_invalid("\"\\ud834\\udd1\"");
    is_invalid("\"\\ud834\\xdd1e\"");
    is_invalid("\"\\udd1e\\ud834\"");
    is_invalid("\"\\udd1e\\udd1e\"");
    is_invalid("\"\\udfff\\udc00\"");
    is_invalid("\"\\ud834\xed\xb4\x9e\"");
    is_invalid("\"\xed\xa0\xb4\\udd1e\"");
    is_invalid("[\"a\nb\"]");
    is_invalid("[\"\t\"]");
    is_invalid("[\"a\0b\"]");
    is_invalid("[\"\x1f\"]");
    is_invalid("{\"a\0\":1}");
    is_invalid("{\"\\ud800\":1}");
    is_invalid("{\"\xff\":1}");
    is_invalid("{\"\x01\":1}");
    is_invalid("{\"\\x\":1}");
    is_invalid("[\"\\u00");
    is_invalid("[\"\\ud834\\udd1e");
    is_invalid("[\xff]");
    is_invalid("\"\xc0\x80\"");
    is_invalid("\"\xc1\xbf\"");
    is_invalid("\"\xe0\x80\x80\"");
    is_invalid("\"\xe0\x9f\xbf\"");
    is_invalid("\"\xf0\x80\x80\x80\"");
    is_invalid("\"\xf0\x8f\xbf\xbf\"");
    is_invalid("\"\xf8\x88\x80\x80\x80\"");
    is_invalid("\"\xfc\x84\x80\x80\x80\x80\"");
    is_invalid("\"\xf4\x90\x80\x80\"");
    is_invalid("\"\xed\xa0\x80\"");
    is_invalid("\"\xed\xbf\xbf\"");
    is_invalid("\"\xed\xa0\xbd\xed\xb8\x80\"");
    is_invalid("\"\x80\"");
    is_invalid("\"\xbf\"");
    is_invalid("\"\xe2\x82\"");
    is_invalid("\"\xe2\x28\xa1\"");
    is_invalid("\"\xf0\x9f\x98\"");
    is_invalid("\"\xc3");
    is_invalid("\"\xe9\"");
    is_invalid("\"\xfe\"");
}


int
main(void)
{
    guard_init();

    check_valid();
    check_structure();
    check_scalars();
    check_strings();

    return done_testing();
}
