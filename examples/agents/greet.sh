#!/bin/sh
# An agent in a shell script: the message comes on standard input, and each line is streamed as it is written.
read -r name
for greeting in Hello Bonjour Hola Ciao Hej; do
    echo "$greeting, $name!"
    sleep 1
done
