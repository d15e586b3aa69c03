package Analytics::Schema;

# Copyright (C) The nginx analytics authors

# Checks data against as much of JSON Schema as an OpenAPI document of ours
# uses.  A word that is not known here is an error, not a pass.

use strict;
use warnings;

use B ();
use JSON::PP ();

my %IGNORED = map { $_ => 1 } qw(description title example examples default
    deprecated readOnly writeOnly $comment);

my %CHECK = (
    '$ref'               => \&_ref,
    type                 => \&_type,
    enum                 => \&_enum,
    const                => sub { _enum($_[0], [ $_[1] ], @_[2 .. 3]) },
    required             => \&_required,
    properties           => \&_properties,
    additionalProperties => \&_additional,
    dependentRequired    => \&_dependent,
    items                => \&_items,
    minItems  => sub { _least(_size(array => @_)) },
    maxItems  => sub { _most(_size(array => @_)) },
    minLength => sub { _least(_size(string => @_)) },
    maxLength => sub { _most(_size(string => @_)) },
    minimum   => sub { _least(_size(number => @_)) },
    maximum   => sub { _most(_size(number => @_)) },
    pattern   => \&_pattern,
    format    => \&_format,
    allOf     => \&_all,
    anyOf     => \&_any,
    oneOf     => \&_one,
);

my %FORMAT = (
    'date-time' => qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/,
    'date'      => qr/^\d{4}-\d\d-\d\d$/,
);


sub new {
    my ($class, $document) = @_;

    return bless { document => $document }, $class;
}


# What is wrong with the data: a list of sentences, empty if nothing is.

sub errors {
    my ($self, $schema, $data, $at) = @_;

    $at //= '$';

    # "true" and "false" are schemas, too

    return $schema ? () : "$at: nothing may be here" unless ref $schema eq 'HASH';

    my @errors;

    for my $word (sort keys %$schema) {
        next if $IGNORED{$word};

        my $check = $CHECK{$word}
            or return "$at: the schema says \"$word\", which is not known here";

        push @errors, $check->($self, $schema->{$word}, $data, $at, $schema);
    }

    return @errors;
}


# What a reference stands for.

sub resolve {
    my ($self, $node) = @_;

    while (ref $node eq 'HASH' && defined $node->{'$ref'}) {
        my ($path) = $node->{'$ref'} =~ m{^#/(.+)$}
            or die "not a local reference: $node->{'$ref'}\n";

        my $at = $self->{document};

        $at = $at->{ s{~1}{/}gr =~ s{~0}{~}gr } // die "no $node->{'$ref'}\n"
            for split m{/}, $path;

        $node = $at;
    }

    return $node;
}


sub _ref {
    my ($self, $ref, $data, $at) = @_;

    return $self->errors($self->resolve({ '$ref' => $ref }), $data, $at);
}


# Of which JSON type a value is that JSON::PP has read.

sub type_of {
    my ($data) = @_;

    return 'null' unless defined $data;
    return 'boolean' if JSON::PP::is_bool($data);
    return 'object' if ref $data eq 'HASH';
    return 'array' if ref $data eq 'ARRAY';

    my $flags = B::svref_2object(\$data)->FLAGS;

    return 'string' if $flags & B::SVf_POK;
    return $data == int $data ? 'integer' : 'number';
}


sub _type {
    my ($self, $types, $data, $at) = @_;

    my $type = type_of($data);
    my @types = ref $types ? @$types : $types;

    return () if grep { $_ eq $type || $_ eq 'number' && $type eq 'integer' }
        @types;

    return "$at: is of type $type, not @types";
}


sub _enum {
    my ($self, $values, $data, $at) = @_;

    my $json = JSON::PP->new->canonical->allow_nonref;
    my $text = $json->encode($data);

    return () if grep { $json->encode($_) eq $text } @$values;

    return "$at: $text is none of " . join ', ', map { $json->encode($_) }
        @$values;
}


sub _required {
    my ($self, $names, $data, $at) = @_;

    return () unless ref $data eq 'HASH';

    return map { "$at: has no \"$_\"" } grep { !exists $data->{$_} } @$names;
}


sub _properties {
    my ($self, $properties, $data, $at) = @_;

    return () unless ref $data eq 'HASH';

    return map { $self->errors($properties->{$_}, $data->{$_}, "$at.$_") }
        grep { exists $data->{$_} } sort keys %$properties;
}


sub _additional {
    my ($self, $additional, $data, $at, $schema) = @_;

    return () unless ref $data eq 'HASH';

    return map { $self->errors($additional, $data->{$_}, "$at.$_") }
        grep { !exists $schema->{properties}{$_} } sort keys %$data;
}


sub _dependent {
    my ($self, $dependent, $data, $at) = @_;

    return () unless ref $data eq 'HASH';

    return map { $self->_required($dependent->{$_}, $data, $at) }
        grep { exists $data->{$_} } sort keys %$dependent;
}


sub _items {
    my ($self, $items, $data, $at) = @_;

    return () unless ref $data eq 'ARRAY';

    return map { $self->errors($items, $data->[$_], "${at}[$_]") } 0 .. $#$data;
}


# How large a value is, if it is of that type: a bound says nothing of others.

sub _size {
    my ($type, $self, $bound, $data, $at) = @_;

    my $is = type_of($data) =~ s/^integer$/number/r;

    return ($at, undef, $bound) if $is ne $type;
    return ($at, $is eq 'array' ? scalar @$data
        : $is eq 'string' ? length $data : $data, $bound);
}


sub _least {
    my ($at, $n, $least) = @_;

    return !defined $n || $n >= $least ? () : "$at: $n is less than $least";
}


sub _most {
    my ($at, $n, $most) = @_;

    return !defined $n || $n <= $most ? () : "$at: $n is more than $most";
}


sub _pattern {
    my ($self, $pattern, $data, $at) = @_;

    return ref $data || !defined $data || $data =~ /$pattern/ ? ()
        : "$at: \"$data\" is not like $pattern";
}


sub _format {
    my ($self, $format, $data, $at) = @_;

    my $pattern = $FORMAT{$format} or return ();

    return $self->_pattern($pattern, $data, $at);
}


sub _all {
    my ($self, $schemas, $data, $at) = @_;

    return map { $self->errors($_, $data, $at) } @$schemas;
}


sub _any {
    my ($self, $schemas, $data, $at) = @_;

    return () if grep { !$self->errors($_, $data, $at) } @$schemas;

    return "$at: is nothing of what it may be: "
        . join '; ', map { $self->errors($_, $data, $at) } @$schemas;
}


sub _one {
    my ($self, $schemas, $data, $at) = @_;

    my @fitting = grep { !$self->errors($_, $data, $at) } @$schemas;

    return () if @fitting == 1;
    return "$at: is more than one of what it may be" if @fitting;
    return $self->_any($schemas, $data, $at);
}


1;
