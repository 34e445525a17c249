"""peers: placeholder"""

NAME = "peers"
