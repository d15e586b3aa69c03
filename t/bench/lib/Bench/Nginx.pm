package Bench::Nginx;

# Copyright (C) The nginx analytics authors

# An nginx of the bench: its own folder, its own port, its own processors.
#
#     my $nginx = Bench::Nginx->start(modules => [...], http => ...,
#         server => ..., cpus => [0]);

use strict;
use warnings;

use File::Path qw(make_path);
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

        $self->{pid} = start_process(
            [$NGINX, '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf",
                '-e', $self->log],
            cpus => $self->{cpus}, out => "$self->{dir}/said"
        );

        return $self if $self->is_up;

        end_process($self->{pid});

        last unless read_file($self->log) =~ /Address already in use/;
    }

    die "nginx did not start:\n", read_file($self->log),
        read_file("$self->{dir}/said");
}


sub log {
    return "$_[0]{dir}/error.log";
}


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

    my $said = read_file($self->log);
    die "nginx wrote to its error log:\n$said\n" if length $said;
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
