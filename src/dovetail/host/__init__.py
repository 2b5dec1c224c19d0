"""What a host is made of: a program with a model in it that uses many servers."""
