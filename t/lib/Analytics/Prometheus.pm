package Analytics::Prometheus;

# Copyright (C) The nginx analytics authors

# A real Prometheus that scrapes a server, in a folder of its own and on a
# port of its own; nothing of it is left behind.
#
#     plan skip_all => 'Prometheus is not here'
#         unless Analytics::Prometheus::available();
#
#     my $prometheus = Analytics::Prometheus->new(config => $yaml)->start;
#
#     wait_for(sub { $prometheus->up });
#     my @samples = $prometheus->query('up');   # { metric, value => [...] }
#
#     $prometheus->stop;

use strict;
use warnings;

use Carp qw(croak);
use File::Temp ();
use POSIX ();

use Analytics::Client;
use Analytics::Test;

my $UNPACKED = Analytics::Test::root_dir() . '/build/prometheus/usr/bin';
my $OWNER    = $$;
my @RUNNING;


# Where a program of the package is: installed, or where misc/setup.sh has
# unpacked it; undef if it is not here.

sub program {
    my ($name) = @_;

    my ($path) = grep { -x } map { "$_/$name" } $UNPACKED,
        split /:/, $ENV{PATH} // '';

    return $path;
}


sub available {
    return program('prometheus') && program('promtool');
}


# config is the text of prometheus.yml.

sub new {
    my ($class, %arg) = @_;

    my $self = bless { %arg }, $class;

    $self->{dir} = File::Temp->newdir('prometheus-XXXXXXXX', TMPDIR => 1);

    return $self;
}


# Starts it, and waits until it answers.

sub start {
    my ($self) = @_;

    my $dir = "$self->{dir}";

    Analytics::Test::write_file("$dir/prometheus.yml", $self->{config});

    # its port may be another's by now

    for (1 .. 5) {
        $self->{port} = Analytics::Test::free_port();
        $self->{pid}  = fork // die "fork: $!\n";

        $self->run if $self->{pid} == 0;

        push @RUNNING, $self;

        my $state = wait_for(sub {
            return -1 if waitpid($self->{pid}, POSIX::WNOHANG) != 0;

            my $answer = eval { $self->get('/-/ready') };

            return $answer && $answer->{status} == 200;
        });

        return $self if $state && $state > 0;

        $self->stop;
    }

    croak "Prometheus did not start:\n" . $self->log;
}


sub run {
    my ($self) = @_;

    my $dir = "$self->{dir}";

    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);

    if (chdir $dir
        and open STDIN, '<', '/dev/null'
        and open STDOUT, '>>', "$dir/log"
        and open STDERR, '>>&', \*STDOUT)
    {
        exec program('prometheus'), "--config.file=$dir/prometheus.yml",
            "--storage.tsdb.path=$dir/data",
            "--web.listen-address=127.0.0.1:$self->{port}";
    }

    POSIX::_exit(127);
}


sub log {
    my ($self) = @_;

    return Analytics::Test::read_file("$self->{dir}/log");
}


sub get {
    my ($self, $path) = @_;

    my $client = Analytics::Client->new(port => $self->{port});
    my $answer = $client->request('GET', $path, close => 1);

    $client->close;

    return $answer // die "no answer to $path\n";
}


# What a path of its API answers.

sub api {
    my ($self, $path, %query) = @_;

    $path .= '?' . join '&', map { "$_=" . ($query{$_}
        =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger) } sort keys %query
        if %query;

    my $answer = $self->get("/api/v1/$path")->json;

    die "Prometheus: $answer->{error}\n" if $answer->{status} ne 'success';

    return $answer->{data};
}


# The targets, and whether all were scraped well.

sub targets {
    my ($self) = @_;

    return @{ $self->api('targets')->{activeTargets} };
}


sub up {
    my ($self) = @_;

    my @targets = $self->targets;

    return @targets && !grep { $_->{health} ne 'up' } @targets;
}


# What an expression is now.

sub query {
    my ($self, $expression) = @_;

    return @{ $self->api('query', query => $expression)->{result} };
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    @RUNNING = grep { $_ != $self } @RUNNING;

    kill 'TERM', $pid;

    my $gone = wait_for(sub { waitpid($pid, POSIX::WNOHANG) != 0 });

    return if $gone;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    return if $$ != $OWNER;

    local $?;

    $self->stop;
}


END {
    if ($$ == $OWNER) {
        my $status = $?;

        $_->DESTROY for @RUNNING;
        $? = $status;
    }
}


1;
