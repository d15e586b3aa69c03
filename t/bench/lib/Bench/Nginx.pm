package Bench::Nginx;

# Copyright (C) The nginx analytics authors

# An nginx of the bench: its own folder, its own port, its own processors.
#
#     my $nginx = Bench::Nginx->start(modules => [...], http => ...,
#         server => ..., cpus => [0]);

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use HTTP::Tiny;
use JSON::PP ();

use Bench::Process;

my $NGINX = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $COUNT = 0;


# workers    how many, each on a processor of its own; 1 by default
# cpus       the processors
# modules    to be loaded
# http, server
#            what these blocks hold

sub start {
    my ($class, %arg) = @_;

    my $self = bless { workers => 1, http => '', modules => [], %arg }, $class;

    $self->{dir} = work_dir() . '/nginx' . ++$COUNT;
    make_path($self->{dir});

    for (1 .. 5) {
        $self->{port} = free_port();
        unlink $self->log;

        write_file("$self->{dir}/nginx.conf", $self->config);

        $self->launch;

        return $self if $self->is_up;

        end_process($self->{pid});

        last unless read_file($self->log) =~ /Address already in use/;
    }

    die "nginx did not start:\n", read_file($self->log),
        read_file("$self->{dir}/said");
}


# Also what has ended, as it was.  Does not wait for it: see is_up().

sub launch {
    my ($self) = @_;

    $self->{pid} = start_process(
        [$NGINX, '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf",
            '-e', $self->log],
        cpus => $self->{cpus}, out => "$self->{dir}/said"
    );
}


sub dir { return $_[0]{dir} }
sub log { return "$_[0]{dir}/error.log" }


sub is_up {
    my ($self) = @_;

    # "taskset" turns into the master
    return wait_until(sub {
        $self->{workers_pids} = [children_of($self->{pid})];

        return @{ $self->{workers_pids} } == $self->{workers}
            && IO::Socket::INET->new("127.0.0.1:$self->{port}");
    }, 5);
}


sub config {
    my ($self) = @_;

    my $load = join '', map { "load_module $_;\n" } @{ $self->{modules} };
    my $temp = join '', map { "    ${_}_temp_path $self->{dir}/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);
    my $user = $> == 0 && defined getpwnam 'www-data' ? "user www-data;\n" : '';

    return <<"CONF";
${load}${user}daemon off;
pid $self->{dir}/nginx.pid;
error_log $self->{dir}/error.log error;
worker_processes $self->{workers};
@{[ $self->affinity ]}

events {
    worker_connections 2048;
}

http {
$temp
    access_log               off;
    keepalive_requests       1000000000;
    client_max_body_size     256m;
    client_body_buffer_size  1m;

    $self->{http}

    server {
        listen  127.0.0.1:$self->{port} reuseport;

        $self->{server}
    }
}
CONF
}


# A worker a processor, as long as there are enough of them.

sub affinity {
    my ($self) = @_;

    my $n = $self->{workers};

    return '' if $n == 1 || $n != @{ $self->{cpus} };

    return 'worker_cpu_affinity '
        . join(' ', map { '1' . '0' x $_ } @{ $self->{cpus} }) . ';';
}


sub stop {
    my ($self) = @_;

    end_process($self->{pid}, 'TERM');
    $self->check_log;
}


# kill -9 of master and workers, all at once.

sub crash {
    my ($self) = @_;

    my @workers = $self->workers;

    end_process($self->{pid}, 'KILL');
    kill 'KILL', @workers;

    # nobody here is their parent
    wait_until(sub { !grep { alive($_) } @workers }, 10)
        or die "a worker did not die\n";

    $self->check_log;
}


# The same as crash(), and what it stored is removed: to write gigabytes to
# the disk first would not be of use to anybody.

sub discard {
    my ($self) = @_;

    $self->crash;
    remove_tree($self->{dir});
}


sub check_log {
    my ($self) = @_;

    my $said = read_file($self->log);
    die "nginx wrote to its error log:\n$said\n" if length $said;
}


# Whether a zone's log is open, and the zone what it says.

sub is_ready {
    my ($self, $zone) = @_;

    my $answer = HTTP::Tiny->new->get($self->url('/health'));

    return $answer->{status} == 200 && JSON::PP::decode_json(
        $answer->{content})->{zones}{$zone}{state} eq 'ready';
}


sub port    { return $_[0]{port} }
sub workers { return @{ $_[0]{workers_pids} } }


sub url {
    my ($self, $path) = @_;

    return "http://127.0.0.1:$self->{port}$path";
}


sub get {
    my ($self, $path) = @_;

    my $answer = HTTP::Tiny->new->get($self->url($path));
    die "GET $path: $answer->{status} $answer->{content}\n"
        unless $answer->{success};

    return $answer;
}


sub get_json {
    my ($self, $path) = @_;

    return JSON::PP::decode_json($self->get($path)->{content});
}


sub post {
    my ($self, $path, $body) = @_;

    my $answer = HTTP::Tiny->new->post($self->url($path), {
        content => $body, headers => { 'Content-Type' => 'application/json' },
    });
    die "POST $path: $answer->{status} $answer->{content}\n"
        unless $answer->{success};

    return $answer;
}


1;
