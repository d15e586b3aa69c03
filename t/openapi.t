# Copyright (C) The nginx analytics authors

# html/openapi.json says what the server does: every example can be sent,
# every answer is as it is described, and no route is missing on either side.

use strict;
use warnings;

use POSIX ();
use Test::More;

use Analytics::Schema;
use Analytics::Site;
use Analytics::Test;

my $ROOT     = Analytics::Test::root_dir();
my $document = data(Analytics::Test::read_file("$ROOT/html/openapi.json"));
my $schema   = Analytics::Schema->new($document);
my $nginx    = Analytics::Site->new;

my @METHODS = qw(get post put patch delete);

# periods that are over while a test runs

my $zone = $nginx->dir . '/analytics/zone.conf';

Analytics::Test::write_file($zone,
    Analytics::Test::read_file($zone) =~ s/counts\s+\K4h/1s/r);

$nginx->start;

is_json [ sort keys %$document ], [ sort keys %$document ], 'it is JSON';
like $document->{openapi}, qr/^3\.1\./, 'of OpenAPI 3.1';


sub operations {
    my ($test) = @_;

    for my $path (sort keys %{ $document->{paths} }) {
        for my $method (@METHODS) {
            my $operation = $document->{paths}{$path}{$method} or next;

            $test->($path, uc $method, $operation);
        }
    }
}


# Examples of a media type or a parameter, by name.

sub examples {
    my ($node) = @_;

    my $many = $node->{examples} // {};
    my %found = map { $_ => $schema->resolve($many->{$_})->{value} }
        keys %$many;

    $found{example} = $node->{example} if exists $node->{example};

    return \%found;
}


# Tests an answer against what is said of it.

sub described {
    my ($answer, $operation, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $response = $operation->{responses}{ $answer->{status} }
        or return fail("$name: $answer->{status} is not documented");

    $response = $schema->resolve($response);

    return is $answer->{body}, '', "$name: $answer->{status} has no body"
        unless $response->{content};

    my ($type) = ($answer->header('content-type') // '') =~ /^([^;]*)/;
    my $media  = $response->{content}{$type}
        or return fail("$name: $answer->{status} as \"$type\" is not documented");

    my @errors;

    @errors = $schema->errors($media->{schema}, $answer->json)
        if $type =~ m{[/+]json$};

    for my $header (sort keys %{ $response->{headers} // {} }) {
        my $said  = $schema->resolve($response->{headers}{$header});
        my $value = $answer->header($header);

        push @errors, $schema->errors($said->{schema}, $value, $header)
            if defined $value;
    }

    return ok(!@errors, "$name: $answer->{status} is as described")
        || diag(join "\n", @errors, substr $answer->{body}, 0, 500);
}


sub parameters {
    my ($operation) = @_;

    return map { $schema->resolve($_) } @{ $operation->{parameters} // [] };
}


# A path with its parameters filled in.

sub filled {
    my ($path, $operation) = @_;

    for my $parameter (grep { $_->{in} eq 'path' } parameters($operation)) {
        my $example = $parameter->{example} // 'user_123';

        $path =~ s/\{$parameter->{name}\}/$example/;
    }

    return $path;
}


subtest 'the examples in it are as described' => sub {
    operations(sub {
        my ($path, $method, $operation) = @_;

        my %media = %{ ($operation->{requestBody} // {})->{content} // {} };

        for my $status (sort keys %{ $operation->{responses} }) {
            my $content = $schema->resolve($operation->{responses}{$status})
                ->{content} // {};

            $media{"$status $_"} = $content->{$_} for keys %$content;
        }

        for my $type (sort keys %media) {
            my $examples = examples($media{$type});

            for my $name (sort keys %$examples) {
                my @errors = $schema->errors($media{$type}{schema},
                    $examples->{$name});

                ok !@errors, "$method $path, $type: $name"
                    or diag join "\n", @errors;
            }
        }
    });
};


subtest 'every example of a body can be sent' => sub {
    operations(sub {
        my ($path, $method, $operation) = @_;

        my $content = ($operation->{requestBody} // {})->{content} or return;

        for my $type (sort keys %$content) {
            my $examples = examples($content->{$type});

            ok scalar keys %$examples, "$method $path has examples of $type";

            for my $name (sort keys %$examples) {
                my $body = $examples->{$name};

                $body = Analytics::Test::canonical($body) if ref $body;

                my $answer = $nginx->request($method, $path, body => $body,
                    type => $type);

                like $answer->{status}, qr/^2/, "$method $path: $name is taken"
                    or diag $answer->{body};
                described($answer, $operation, "$method $path: $name");
            }
        }
    });
};


# Where a parameter tells what to send, each type is to be had by one of its
# values.

sub all_formats {
    my ($url, $operation, $format) = @_;

    my %types = map { $_ => 1 } keys %{ $operation->{responses}{200}{content} };

    for my $value (@{ $format->{schema}{enum} }) {
        my $answer = $nginx->get("$url?format=$value");
        my ($type) = $answer->header('content-type') =~ /^([^;]*)/;

        described($answer, $operation, "GET $url as $value");
        ok delete $types{$type}, "GET $url as $value is of a type of its own";
    }

    is_json [keys %types], [], "GET $url: no type is left";
}


# A history to make forecasts of, by the hour and by the day.

my $today = time - time % 86400;
my $calls = $nginx->post('/events/', '[' . join(',', map {
    sprintf '{"user_id":"u","event_type":"ai_call","timestamp":"%s",'
        . '"metadata":{"model_used":"gpt-4"}}',
        POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $today + 3600 * $_)
} -24 * 20 .. -1) . ']');

is $calls->{status}, 201, 'a history is there' or diag $calls->{body};

ok wait_for(sub { @{ $nginx->json('/api/activity-counts') } }),
    'there are counts of a period';


subtest 'every route answers as described' => sub {
    operations(sub {
        my ($path, $method, $operation) = @_;

        return if $method ne 'GET';

        my $url    = filled($path, $operation);
        my $answer = $nginx->get($url);

        is $answer->{status}, 200, "GET $url" or diag $answer->{body};
        described($answer, $operation, "GET $url");

        my ($format) = grep { $_->{name} eq 'format' } parameters($operation);

        return all_formats($url, $operation, $format) if $format;

        for my $type (sort keys %{ $operation->{responses}{200}{content} }) {
            my $answer = $nginx->get($url, headers => ["Accept: $type"]);

            like $answer->header('content-type'), qr/^\Q$type\E(?:;|$)/,
                "GET $url as $type";
            described($answer, $operation, "GET $url as $type");
        }
    });
};


subtest 'what removes answers as described' => sub {
    operations(sub {
        my ($path, $method, $operation) = @_;

        return if $method ne 'DELETE';

        my $url    = filled($path, $operation) . '%20to%20go';
        my $answer = $nginx->request($method, $url);

        like $answer->{status}, qr/^2/, "$method $url";
        described($answer, $operation, "$method $url");
    });
};


subtest 'parameters have the bounds that they are said to have' => sub {
    operations(sub {
        my ($path, $method, $operation) = @_;

        my $url = filled($path, $operation);

        for my $parameter (grep { $_->{in} eq 'query' } parameters($operation)) {
            my $of = $parameter->{schema};
            my $format = $of->{format} // '';

            my @good = ($parameter->{example} // (), $of->{default} // (),
                $of->{minimum} // (), $of->{maximum} // (),
                @{ $of->{enum} // [] }, $format eq 'date' ? '2025-10-04' : ());
            my $text = $of->{type} eq 'string' && !$of->{enum} && !$format
                && !$of->{pattern};

            my @bad = ($text ? 'x' x ($of->{maxLength} + 1) : 'x', (defined $of->{minimum} ? $of->{minimum} - 1 : ()),
                (defined $of->{maximum} ? $of->{maximum} + 1 : ()));

            ok scalar @good, "$parameter->{name} has something to try";

            for my $value (@good) {
                my $query = "$parameter->{name}=$value";

                # a start alone reaches until today

                $query .= '&end=2025-10-05' if $query =~ /^start/;

                my $answer = $nginx->get("$url?$query");

                is $answer->{status}, 200, "$url?$query";
                described($answer, $operation, "$url?$query");
            }

            for my $value (@bad) {
                my $answer = $nginx->get("$url?$parameter->{name}=$value");

                is $answer->{status}, 422, "$url?$parameter->{name}=$value";
                described($answer, $operation,
                    "$url?$parameter->{name}=$value");
            }
        }
    });
};


subtest 'refusals are as described' => sub {
    operations(sub {
        my ($path, $method, $operation) = @_;

        my $url = filled($path, $operation);

        # some method that the path does not have

        my ($other) = grep { !$document->{paths}{$path}{ lc $_ } }
            qw(POST PUT);
        my $answer = $nginx->request($other, $url, body => '{}',
            type => 'application/json');

        is $answer->{status}, 405, "$other $url";
        like $answer->header('allow') // '', qr/\b$method\b/,
            "$other $url says that $method is allowed";
        described($answer, $operation, "$other $url");

        return unless $operation->{requestBody};

        for (
            [ 400, '{' ], [ 422, '[{}]' ], [ 422, '7' ],
            [ 415, '{}', type => 'text/plain' ],
            [ 415, '{}', headers => ['Content-Encoding: br'] ],
            [ 400, '{}', headers => ['Content-Encoding: gzip'] ],
            [ 413, '', headers => ['Content-Length: 99999999999'] ],
        ) {
            my ($status, $body, %arg) = @$_;

            my $answer = $nginx->request($method, $url, body => $body,
                type => 'application/json', %arg);

            is $answer->{status}, $status, "$method $url with $body";
            described($answer, $operation, "$method $url with $body");
        }
    });

    my $user = $document->{paths}{'/stats/user-activity/{user_id}'}{get};

    described($nginx->get('/stats/user-activity/stranger'), $user, 'a stranger');

    $nginx->expect_log(qr/client intended to send too large body/);
};


subtest 'no route is missing' => sub {
    my %routes;

    for my $file (glob "$ROOT/conf/*.conf") {
        my $text = Analytics::Test::read_file($file) =~ s/^\s*#.*//mgr;

        for ($text =~ /\blocation\s+([^{]+?)\s*\{/g) {
            next if /^\@/ || $_ eq '/';

            my @paths = s/^=\s*//r;

            @paths = map { "/$_" } split /\|/, $1 if m{^~ \^/\(([^()]+)\)/\?\$$};

            $routes{ s{(.)/$}{$1}r } = 1 for @paths;
        }
    }

    # files, and a route with a parameter

    $routes{'/openapi.json'} = 1;

    my %documented = map { s/\{.*//r =~ s{(.)/$}{$1}r => 1 }
        keys %{ $document->{paths} };

    is_json [ sort keys %documented ], [ sort keys %routes ],
        'the configuration and the description have the same';
};


$nginx->stop;
done_testing;
