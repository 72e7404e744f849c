// A link may hold the token behind its "#", which no server and no log gets to see: /login#the-token
const token = decodeURIComponent(location.hash.slice(1));
if (token) {
  history.replaceState(null, "", "/login");
  document.getElementById("token").value = token;
  document.forms[0].submit();
}
