#!/bin/bash
exec tr a-z A-Z < "$1"
